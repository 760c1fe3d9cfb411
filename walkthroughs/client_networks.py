"""Networks that AWS publishes as a Region's (ip-ranges.json); their clients are near that Region."""

CLIENT_NETWORKS = {
    "us-east-1": "3.80.0.0/12",
    "us-west-2": "35.160.0.0/13",
    "eu-west-1": "34.240.0.0/13",
    "ap-northeast-1": "13.112.0.0/14",
}
