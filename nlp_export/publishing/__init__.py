"""How does an export reach the people who want it? Packages for TF Hub, Hugging Face and Kaggle."""
