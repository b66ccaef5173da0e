"""Pictures that training and evaluation both draw."""
