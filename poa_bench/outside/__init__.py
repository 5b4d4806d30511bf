"""Networks from outside: stock timm networks with weights that no supernet was cut to, measured like its sizes."""
