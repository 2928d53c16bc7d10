"""EG-CFG: prompts, the dynamic signal, the guidance formula and the decoding loop."""
