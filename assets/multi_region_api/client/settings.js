// The URL of the API (the Url output of the stack, followed by `helloworld`), and the same path at each Region's own
// name, which the page calls after a failure; [] without such names. The milliseconds between calls, and until the page
// returns to the first URL: the TTL of its DNS records.
const SETTINGS = {
  url: "https://api.example.com/v1/helloworld",
  regionalUrls: [
    "https://us-east-1.api.example.com/v1/helloworld",
    "https://us-west-2.api.example.com/v1/helloworld",
  ],
  intervalMs: 2000,
  returnMs: 60000,
};
