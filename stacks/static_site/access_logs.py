"""CloudFront's access logs, with standard logging (v2), which needs no ACLs on the bucket."""

from aws_cdk import Stack, aws_cloudfront as cloudfront, aws_iam as iam, aws_logs as logs, aws_s3 as s3

# Those of standard logging (legacy), except cookies, which could contain sessions of other sites in the domain.
FIELDS = [
    *("date", "time", "x-edge-location", "sc-bytes", "c-ip", "cs-method", "cs(Host)", "cs-uri-stem", "sc-status"),
    *("cs(Referer)", "cs(User-Agent)", "cs-uri-query", "x-edge-result-type", "x-edge-request-id", "x-host-header"),
    *("cs-protocol", "cs-bytes", "time-taken", "x-forwarded-for", "ssl-protocol", "ssl-cipher"),
    *("x-edge-response-result-type", "cs-protocol-version", "fle-status", "fle-encrypted-fields", "c-port"),
    *("time-to-first-byte", "x-edge-detailed-result-type", "sc-content-type", "sc-content-len"),
    *("sc-range-start", "sc-range-end"),
]


def deliver_access_logs(stack: Stack, distribution: cloudfront.Distribution, bucket: s3.Bucket) -> None:
    """Deliver the access logs of `distribution` to `bucket`. CloudFront's log deliveries must be in us-east-1."""
    bucket.add_to_resource_policy(
        iam.PolicyStatement(
            principals=[iam.ServicePrincipal("delivery.logs.amazonaws.com")],
            actions=["s3:PutObject"],
            resources=[bucket.arn_for_objects(f"AWSLogs/{stack.account}/*")],
            conditions={
                "StringEquals": {"aws:SourceAccount": stack.account, "s3:x-amz-acl": "bucket-owner-full-control"},
                "ArnLike": {"aws:SourceArn": f"arn:aws:logs:{stack.region}:{stack.account}:delivery-source:*"},
            },
        )
    )
    name = f"{stack.node.id[:40]}-AccessLogs"  # names have up to 60 characters
    source = logs.CfnDeliverySource(
        stack, "AccessLogSource", name=name, log_type="ACCESS_LOGS", resource_arn=distribution.distribution_arn
    )
    destination = logs.CfnDeliveryDestination(
        stack, "AccessLogDestination", name=name, destination_resource_arn=bucket.bucket_arn, output_format="w3c"
    )
    delivery = logs.CfnDelivery(
        stack,
        "AccessLogDelivery",
        delivery_source_name=source.name,
        delivery_destination_arn=destination.attr_arn,
        record_fields=FIELDS,
    )
    # On stack deletion, ends the delivery first. Otherwise logs could arrive after the bucket was emptied.
    delivery.node.add_dependency(source, bucket)
