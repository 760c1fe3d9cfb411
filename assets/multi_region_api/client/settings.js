// The only file to change: where the API is (the Url of the stack's outputs, and `helloworld`), and
// the milliseconds between two calls.
const SETTINGS = {
  url: "https://api.example.com/v1/helloworld",
  every: 2000,
};
