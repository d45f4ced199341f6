"""How is an export fine-tuned on a task, and which encoder and classifier are exported then?"""
