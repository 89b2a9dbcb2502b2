from tile2vec_cli.cli import main

main()
