"""From weak labels to a U-Net, and from that to maps of whole scenes."""
