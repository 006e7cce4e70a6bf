"""Values of users: how they are read, copied, compared and told apart, whatever their classes do then."""
