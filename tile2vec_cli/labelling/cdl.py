"""The legend of the USDA's Cropland Data Layer: names and colours.

Names as USDA NASS publishes them; colours as in the palette of its GeoTIFFs (2021). Old and new
codes of one class (64 and 152 Shrubland, 65 and 131 Barren) share its name.
"""

from __future__ import annotations

from collections.abc import Mapping

Colour = tuple[int, int, int]

NODATA = (0, 81)
"""Background, which the files do not declare as nodata, and clouds."""

_TOLERANCE = 8  # grey levels: the palette was rounded differently from year to year
_ENOUGH = 3  # coloured codes; fewer could agree by chance


def is_cdl(colours: Mapping[int, Colour]) -> bool:
    """Whether a raster's palette (code -> red, green, blue) is the Cropland Data Layer's."""
    known = [code for code in colours if code in LEGEND and any(colours[code])]
    alike = sum(_alike(colours[code], colour(code)) for code in known)
    return len(known) >= _ENOUGH and alike >= 0.9 * len(known)  # a few colours changed over the years


def name(code: int) -> str:
    """The class of a code; the code itself where the legend has none."""
    return LEGEND[code][0] if code in LEGEND else str(code)


def colour(code: int) -> Colour:
    """Red, green, blue of a code of the legend."""
    value = LEGEND[code][1]
    return value >> 16, value >> 8 & 0xFF, value & 0xFF


def _alike(one: Colour, other: Colour) -> bool:
    return all(abs(a - b) <= _TOLERANCE for a, b in zip(one, other, strict=True))


LEGEND = {
    1: ("Corn", 0xFFD300),
    2: ("Cotton", 0xFF2525),
    3: ("Rice", 0x00A8E2),
    4: ("Sorghum", 0xFF9E09),
    5: ("Soybeans", 0x256F00),
    6: ("Sunflower", 0xFFFF00),
    10: ("Peanuts", 0x6FA600),
    11: ("Tobacco", 0x00AF49),
    12: ("Sweet Corn", 0xDEA609),
    13: ("Pop or Orn Corn", 0xDEA609),
    14: ("Mint", 0x7CD3FF),
    21: ("Barley", 0xE2007C),
    22: ("Durum Wheat", 0x896053),
    23: ("Spring Wheat", 0xD9B56B),
    24: ("Winter Wheat", 0xA66F00),
    25: ("Other Small Grains", 0xD59EBC),
    26: ("Dbl Crop WinWht/Soybeans", 0x6F6F00),
    27: ("Rye", 0xAB007C),
    28: ("Oats", 0xA05889),
    29: ("Millet", 0x6F0049),
    30: ("Speltz", 0xD59EBC),
    31: ("Canola", 0xD1FF00),
    32: ("Flaxseed", 0x7C99FF),
    33: ("Safflower", 0xD5D500),
    34: ("Rape Seed", 0xD1FF00),
    35: ("Mustard", 0x00AF49),
    36: ("Alfalfa", 0xFFA6E2),
    37: ("Other Hay/Non Alfalfa", 0xA6F18B),
    38: ("Camelina", 0x00AF49),
    39: ("Buckwheat", 0xD59EBC),
    41: ("Sugarbeets", 0xA800E2),
    42: ("Dry Beans", 0xA60000),
    43: ("Potatoes", 0x6F2500),
    44: ("Other Crops", 0x00AF49),
    45: ("Sugarcane", 0xAF7CFF),
    46: ("Sweet Potatoes", 0x6F2500),
    47: ("Misc Vegs & Fruits", 0xFF6666),
    48: ("Watermelons", 0xFF6666),
    49: ("Onions", 0xFFCC66),
    50: ("Cucumbers", 0xFF6666),
    51: ("Chick Peas", 0x00AF49),
    52: ("Lentils", 0x00DEAF),
    53: ("Peas", 0x53FF00),
    54: ("Tomatoes", 0xF1A278),
    55: ("Caneberries", 0xFF6666),
    56: ("Hops", 0x00AF49),
    57: ("Herbs", 0x7CD3FF),
    58: ("Clover/Wildflowers", 0xE8BEFF),
    59: ("Sod/Grass Seed", 0xAFFFDE),
    60: ("Switchgrass", 0x00AF49),
    61: ("Fallow/Idle Cropland", 0xBEBE78),
    63: ("Forest", 0x93CC93),
    64: ("Shrubland", 0xC6D59E),
    65: ("Barren", 0xCCBEA2),
    66: ("Cherries", 0xFF00FF),
    67: ("Peaches", 0xFF8FAB),
    68: ("Apples", 0xB9004F),
    69: ("Grapes", 0x6F4589),
    70: ("Christmas Trees", 0x007878),
    71: ("Other Tree Crops", 0xAF996F),
    72: ("Citrus", 0xFFFF7C),
    74: ("Pecans", 0xB56F5C),
    75: ("Almonds", 0x00A682),
    76: ("Walnuts", 0xE8D5AF),
    77: ("Pears", 0xAF996F),
    81: ("Clouds/No Data", 0xF1F1F1),
    82: ("Developed", 0x999999),
    83: ("Water", 0x496FA2),
    87: ("Wetlands", 0x7CAFAF),
    88: ("Nonag/Undefined", 0xE8FFBE),
    92: ("Aquaculture", 0x00FFFF),
    111: ("Open Water", 0x496FA2),
    112: ("Perennial Ice/Snow", 0xD3E2F9),
    121: ("Developed/Open Space", 0x999999),
    122: ("Developed/Low Intensity", 0x999999),
    123: ("Developed/Med Intensity", 0x999999),
    124: ("Developed/High Intensity", 0x999999),
    131: ("Barren", 0xCCBEA2),
    141: ("Deciduous Forest", 0x93CC93),
    142: ("Evergreen Forest", 0x93CC93),
    143: ("Mixed Forest", 0x93CC93),
    152: ("Shrubland", 0xC6D59E),
    176: ("Grassland/Pasture", 0xE8FFBE),
    190: ("Woody Wetlands", 0x7CAFAF),
    195: ("Herbaceous Wetlands", 0x7CAFAF),
    204: ("Pistachios", 0x00FF8B),
    205: ("Triticale", 0xD59EBC),
    206: ("Carrots", 0xFF6666),
    207: ("Asparagus", 0xFF6666),
    208: ("Garlic", 0xFF6666),
    209: ("Cantaloupes", 0xFF6666),
    210: ("Prunes", 0xFF8FAB),
    211: ("Olives", 0x334933),
    212: ("Oranges", 0xE26F25),
    213: ("Honeydew Melons", 0xFF6666),
    214: ("Broccoli", 0xFF6666),
    215: ("Avocados", 0x66994D),
    216: ("Peppers", 0xFF6666),
    217: ("Pomegranates", 0xAF996F),
    218: ("Nectarines", 0xFF8FAB),
    219: ("Greens", 0xFF6666),
    220: ("Plums", 0xFF8FAB),
    221: ("Strawberries", 0xFF6666),
    222: ("Squash", 0xFF6666),
    223: ("Apricots", 0xFF8FAB),
    224: ("Vetch", 0x00AF49),
    225: ("Dbl Crop WinWht/Corn", 0xFFD300),
    226: ("Dbl Crop Oats/Corn", 0xFFD300),
    227: ("Lettuce", 0xFF6666),
    228: ("Dbl Crop Triticale/Corn", 0xFFD300),
    229: ("Pumpkins", 0xFF6666),
    230: ("Dbl Crop Lettuce/Durum Wht", 0x896053),
    231: ("Dbl Crop Lettuce/Cantaloupe", 0xFF6666),
    232: ("Dbl Crop Lettuce/Cotton", 0xFF2525),
    233: ("Dbl Crop Lettuce/Barley", 0xE2007C),
    234: ("Dbl Crop Durum Wht/Sorghum", 0xFF9E09),
    235: ("Dbl Crop Barley/Sorghum", 0xFF9E09),
    236: ("Dbl Crop WinWht/Sorghum", 0xA66F00),
    237: ("Dbl Crop Barley/Corn", 0xFFD300),
    238: ("Dbl Crop WinWht/Cotton", 0xA66F00),
    239: ("Dbl Crop Soybeans/Cotton", 0x256F00),
    240: ("Dbl Crop Soybeans/Oats", 0x256F00),
    241: ("Dbl Crop Corn/Soybeans", 0xFFD300),
    242: ("Blueberries", 0x000099),
    243: ("Cabbage", 0xFF6666),
    244: ("Cauliflower", 0xFF6666),
    245: ("Celery", 0xFF6666),
    246: ("Radishes", 0xFF6666),
    247: ("Turnips", 0xFF6666),
    248: ("Eggplants", 0xFF6666),
    249: ("Gourds", 0xFF6666),
    250: ("Cranberries", 0xFF6666),
    254: ("Dbl Crop Barley/Soybeans", 0x256F00),
}
