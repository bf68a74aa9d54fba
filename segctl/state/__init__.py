"""Our record of what we made and sent; pure."""
