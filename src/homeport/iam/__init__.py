"""IAM: users, groups, roles, policies and identity providers of an account, and everything that changes them."""
