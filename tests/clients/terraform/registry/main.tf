# Everything of Amazon ECR and ECR Public, and what people need around it, as Terraform's AWS provider 5 knows it.

terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

variable "endpoint" {
  description = "Address of the registry server, such as http://127.0.0.1:5000."
  type        = string
}

variable "region" {
  type = string
}

variable "second" {
  description = "Whether this is the second apply, which changes whatever can be changed in place."
  type        = bool
  default     = false
}

provider "aws" {
  region                      = var.region
  skip_credentials_validation = false
  skip_metadata_api_check     = true
  skip_region_validation      = true

  endpoints {
    ecr            = var.endpoint
    ecrpublic      = var.endpoint
    iam            = var.endpoint
    secretsmanager = var.endpoint
    sts            = var.endpoint
  }

  default_tags {
    tags = {
      managed-by = "terraform"
    }
  }
}

data "aws_caller_identity" "me" {}

# --- Repositories ---

resource "aws_ecr_repository" "plain" {
  name = "shop/plain"
}

resource "aws_ecr_repository" "cart" {
  name                 = "shop/cart"
  image_tag_mutability = var.second ? "MUTABLE" : "IMMUTABLE"
  force_delete         = true

  image_scanning_configuration {
    scan_on_push = !var.second
  }

  encryption_configuration {
    encryption_type = "AES256"
  }

  tags = {
    team  = "shop"
    stage = var.second ? "two" : "one"
  }
}

data "aws_iam_policy_document" "pull" {
  statement {
    sid     = var.second ? "PullAndList" : "Pull"
    effect  = "Allow"
    actions = concat(["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"], var.second ? ["ecr:ListImages"] : [])

    principals {
      type        = "AWS"
      identifiers = ["arn:aws:iam::${data.aws_caller_identity.me.account_id}:root"]
    }
  }
}

resource "aws_ecr_repository_policy" "cart" {
  repository = aws_ecr_repository.cart.name
  policy     = data.aws_iam_policy_document.pull.json
}

data "aws_ecr_lifecycle_policy_document" "cart" {
  rule {
    priority    = 1
    description = "Old ones go"

    selection {
      tag_status   = "untagged"
      count_type   = "sinceImagePushed"
      count_unit   = "days"
      count_number = var.second ? 7 : 14
    }
  }

  rule {
    priority = 2

    selection {
      tag_status      = "tagged"
      tag_prefix_list = ["prod", "beta"]
      count_type      = "imageCountMoreThan"
      count_number    = 100
    }
  }
}

resource "aws_ecr_lifecycle_policy" "cart" {
  repository = aws_ecr_repository.cart.name
  policy     = data.aws_ecr_lifecycle_policy_document.cart.json
}

# Rules that the data source does not know: unused images go to the archive, and leave it after a year.
resource "aws_ecr_repository" "attic" {
  name = "shop/attic"
}

resource "aws_ecr_lifecycle_policy" "attic" {
  repository = aws_ecr_repository.attic.name

  policy = jsonencode({
    rules = [
      {
        rulePriority = 9
        selection = {
          tagStatus   = "any"
          countType   = "sinceImagePulled"
          countUnit   = "days"
          countNumber = var.second ? 60 : 90
        }
        action = { type = "transition", targetStorageClass = "archive" }
      },
      {
        rulePriority = 1
        selection = {
          tagStatus    = "any"
          storageClass = "archive"
          countType    = "sinceImageTransitioned"
          countUnit    = "days"
          countNumber  = 365
        }
        action = { type = "expire" }
      },
    ]
  })
}

# --- The registry ---

resource "aws_ecr_account_setting" "policy_scope" {
  name  = "REGISTRY_POLICY_SCOPE"
  value = "V2"
}

resource "aws_ecr_account_setting" "scan_type" {
  name  = "BASIC_SCAN_TYPE_VERSION"
  value = "AWS_NATIVE"
}

resource "aws_ecr_registry_policy" "this" {
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = var.second ? "ReplicationAndImport" : "Replication"
      Effect    = "Allow"
      Principal = { AWS = "arn:aws:iam::${data.aws_caller_identity.me.account_id}:root" }
      Action    = concat(["ecr:ReplicateImage"], var.second ? ["ecr:BatchImportUpstreamImage"] : [])
      Resource  = ["arn:aws:ecr:${var.region}:${data.aws_caller_identity.me.account_id}:repository/*"]
    }]
  })

  depends_on = [aws_ecr_account_setting.policy_scope]
}

resource "aws_ecr_registry_scanning_configuration" "this" {
  scan_type = "BASIC"

  rule {
    scan_frequency = "SCAN_ON_PUSH"

    repository_filter {
      filter      = var.second ? "shop/*" : "*"
      filter_type = "WILDCARD"
    }
  }
}

resource "aws_ecr_replication_configuration" "this" {
  replication_configuration {
    rule {
      destination {
        region      = var.second ? "eu-central-1" : "eu-west-1"
        registry_id = data.aws_caller_identity.me.account_id
      }

      repository_filter {
        filter      = "shop/"
        filter_type = "PREFIX_MATCH"
      }
    }
  }
}

# --- Upstream registries ---

resource "aws_secretsmanager_secret" "hub" {
  name                    = "ecr-pullthroughcache/hub"
  description             = var.second ? "A robot of Docker Hub" : "Docker Hub"
  recovery_window_in_days = 0
}

resource "aws_secretsmanager_secret_version" "hub" {
  secret_id = aws_secretsmanager_secret.hub.id
  secret_string = jsonencode({
    username    = "robot"
    accessToken = var.second ? "second" : "first"
  })
}

resource "aws_ecr_pull_through_cache_rule" "quay" {
  ecr_repository_prefix = "quay"
  upstream_registry_url = "quay.io"
}

resource "aws_ecr_pull_through_cache_rule" "hub" {
  ecr_repository_prefix = "hub"
  upstream_registry_url = "registry-1.docker.io"
  credential_arn        = aws_secretsmanager_secret.hub.arn

  depends_on = [aws_secretsmanager_secret_version.hub]
}

resource "aws_ecr_repository_creation_template" "hub" {
  prefix               = "hub"
  description          = var.second ? "What comes from Docker Hub" : "Docker Hub"
  image_tag_mutability = var.second ? "MUTABLE" : "IMMUTABLE"
  applied_for          = var.second ? ["PULL_THROUGH_CACHE", "REPLICATION"] : ["PULL_THROUGH_CACHE"]
  custom_role_arn      = aws_iam_role.builder.arn
  lifecycle_policy     = data.aws_ecr_lifecycle_policy_document.cart.json
  repository_policy    = data.aws_iam_policy_document.pull.json

  encryption_configuration {
    encryption_type = "AES256"
  }

  resource_tags = {
    origin = var.second ? "docker-hub" : "hub"
  }
}

# --- The public registry ---

resource "aws_ecrpublic_repository" "plain" {
  repository_name = "plain"
  force_destroy   = true
}

resource "aws_ecrpublic_repository" "tools" {
  repository_name = "tools"

  catalog_data {
    about_text        = "# Tools"
    architectures     = ["ARM 64", "x86-64"]
    description       = var.second ? "Useful tools" : "Tools"
    operating_systems = ["Linux"]
    usage_text        = "docker pull"
  }

  tags = {
    stage = var.second ? "two" : "one"
  }
}

resource "aws_ecrpublic_repository_policy" "tools" {
  repository_name = aws_ecrpublic_repository.tools.repository_name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Push"
      Effect    = "Allow"
      Principal = { AWS = "arn:aws:iam::${data.aws_caller_identity.me.account_id}:root" }
      Action    = concat(["ecr-public:PutImage"], var.second ? ["ecr-public:InitiateLayerUpload"] : [])
    }]
  })
}

# --- Identities ---

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "AWS"
      identifiers = ["arn:aws:iam::${data.aws_caller_identity.me.account_id}:root"]
    }
  }
}

data "aws_iam_policy_document" "push" {
  statement {
    actions   = ["ecr:PutImage", "ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload"]
    resources = [aws_ecr_repository.cart.arn]
  }

  statement {
    actions   = var.second ? ["ecr:GetAuthorizationToken", "sts:GetCallerIdentity"] : ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }
}

resource "aws_iam_policy" "push" {
  name   = "push"
  path   = "/registry/"
  policy = data.aws_iam_policy_document.push.json
}

resource "aws_iam_role" "builder" {
  name                 = "builder"
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  max_session_duration = var.second ? 7200 : 3600
  permissions_boundary = aws_iam_policy.push.arn

  tags = {
    stage = var.second ? "two" : "one"
  }
}

resource "aws_iam_role_policy" "builder" {
  name   = "inline"
  role   = aws_iam_role.builder.name
  policy = data.aws_iam_policy_document.push.json
}

resource "aws_iam_role_policy_attachment" "builder" {
  role       = aws_iam_role.builder.name
  policy_arn = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly"
}

resource "aws_iam_group" "crew" {
  name = "crew"
}

resource "aws_iam_group_policy_attachment" "crew" {
  group      = aws_iam_group.crew.name
  policy_arn = aws_iam_policy.push.arn
}

resource "aws_iam_user" "ann" {
  name          = "ann"
  path          = var.second ? "/people/" : "/"
  force_destroy = true

  tags = {
    stage = var.second ? "two" : "one"
  }
}

resource "aws_iam_user_group_membership" "ann" {
  user   = aws_iam_user.ann.name
  groups = [aws_iam_group.crew.name]
}

resource "aws_iam_user_policy" "ann" {
  name   = "inline"
  user   = aws_iam_user.ann.name
  policy = data.aws_iam_policy_document.push.json
}

resource "aws_iam_access_key" "ann" {
  user   = aws_iam_user.ann.name
  status = var.second ? "Inactive" : "Active"
}

resource "aws_iam_openid_connect_provider" "ci" {
  url             = "https://issuer.example"
  client_id_list  = var.second ? ["sts.amazonaws.com", "second"] : ["sts.amazonaws.com"]
  thumbprint_list = ["cf23df2207d99a74fbe169e3eba035e633b65d94"]
}

# --- What is only read ---

data "aws_ecr_repository" "cart" {
  name       = aws_ecr_repository.cart.name
  depends_on = [aws_ecr_repository.cart]
}

data "aws_ecr_repositories" "all" {
  depends_on = [aws_ecr_repository.plain, aws_ecr_repository.cart]
}

data "aws_ecr_authorization_token" "this" {}

data "aws_ecrpublic_authorization_token" "this" {}

data "aws_ecr_pull_through_cache_rule" "hub" {
  ecr_repository_prefix = aws_ecr_pull_through_cache_rule.hub.ecr_repository_prefix
}

data "aws_ecr_repository_creation_template" "hub" {
  prefix = aws_ecr_repository_creation_template.hub.prefix
}

output "repository_url" {
  value = aws_ecr_repository.cart.repository_url
}

output "repositories" {
  value = sort(data.aws_ecr_repositories.all.names)
}
