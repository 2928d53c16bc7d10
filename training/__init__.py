"""How the embedded repair model is made: corpus, fault injection, execution, tokenizer, training, evaluation.

Not installed with egcfg-fix. Every step is a module with a command line; README.md in this folder lists them in
order.
"""
