# What Terraform's AWS provider knows since version 6.

terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0"
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
  region                  = var.region
  skip_metadata_api_check = true
  skip_region_validation  = true

  endpoints {
    ecr = var.endpoint
    iam = var.endpoint
    sts = var.endpoint
  }
}

data "aws_caller_identity" "me" {}

resource "aws_ecr_repository" "guarded" {
  name                 = "shop/guarded"
  image_tag_mutability = "IMMUTABLE_WITH_EXCLUSION"

  image_tag_mutability_exclusion_filter {
    filter      = var.second ? "dev-*" : "latest*"
    filter_type = "WILDCARD"
  }
}

resource "aws_ecr_pull_time_update_exclusion" "scanner" {
  principal_arn = "arn:aws:iam::${data.aws_caller_identity.me.account_id}:role/scanner"
}

resource "aws_ecr_signing_configuration" "this" {
  rule {
    signing_profile_arn = "arn:aws:signer:${var.region}:${data.aws_caller_identity.me.account_id}:/signing-profiles/release"

    repository_filter {
      filter      = var.second ? "shop/*" : "*"
      filter_type = "WILDCARD_MATCH"
    }
  }
}
