def picture(): pass
