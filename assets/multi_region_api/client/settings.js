// The URL of the API (the Url output of the stack, followed by `helloworld`), and the milliseconds
// between calls.
const SETTINGS = {
  url: "https://api.example.com/v1/helloworld",
  intervalMs: 2000,
};
