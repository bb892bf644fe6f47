"""The AWS front: ECR, ECR Public and STS as clients speak them. Parses, authenticates, translates; decides nothing."""
