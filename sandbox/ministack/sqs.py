"""SQS: queues."""

from .names import need

queue_by_arn = need("services.sqs._queue_by_arn", "policies of queues", "arn")
queues = need("services.sqs._queues", "metrics of queues")
send_message = need("services.sqs._act_send_message", "dead-letter queues of rules", "data qurl")
