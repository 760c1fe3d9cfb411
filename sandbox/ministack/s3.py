"""S3: buckets and objects."""

from .names import Replaceable, need

buckets = need("services.s3._buckets", "tables that queries read")
bucket_tags = need("services.s3._bucket_tags", "tags of buckets in templates")
get_object = need("services.s3._get_object_data", "sources of pipelines, and tables", "bucket_name key")
put_object = need("services.s3._put_object", "artifacts, and results of queries", "bucket_name key body headers")
handle_request = need("services.s3.handle_request", "S3 origins", "method path headers body query_params")
deleted_objects = need("core.iam_actions._s3_batch_delete_targets", "permissions of DeleteObjects", "bucket body")
deliver_notification = {
    service: Replaceable(
        f"services.s3._deliver_event_to_{service}",
        "permissions of notifications",
        f"arn event_payload bucket_region{'' if service == 'lambda' else ' bucket_name'}",
    )
    for service in ("lambda", "sns", "sqs")
}
