"""The AWS front: ECR, ECR Public and STS as their clients speak them. Parses, authenticates, translates; decides nothing."""
