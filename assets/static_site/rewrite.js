// CloudFront Function for viewer requests, JavaScript runtime 2.0. It redirects alternate domain names and, if OPTIONS
// has a style, rewrites URIs. The rules, and the reasons for them, are those of lambdas/static_site/rewrite.py; a test
// compares both. The stack prepends the constant OPTIONS. The runtime's regular expressions are PCRE, so none uses the
// flag i, anchors before a newline, or surrogates.

const EXTENSION = /\.([a-z][a-z0-9]{1,14}|7z|3g[p2]|[chmrz]|pf_(meta|index|filter|fragment))$/;
const UNSAFE = /[^A-Za-z0-9\-._~!$&'()*+,;=:@%\/]|\/\/|%(2[Ff]|5[Cc]|[01][0-9A-Fa-f]|7[Ff])|%(?![0-9A-Fa-f]{2})|\/(\.|%2[Ee]){1,2}(\/|$)/;
const MAX_KEY_BYTES = 1024;

function handler(event) {
  const request = event.request;
  const query = request.rawQueryString() || '';
  if (OPTIONS.alternate_domain_names.includes(request.headers.host.value.toLowerCase())) {
    const path = ('/' + request.uri).replace(/^\/\//, '/').replace(/[^!-~]+/g, encodeURIComponent);
    return response(301, 'https://' + OPTIONS.domain_name + withQuery(path, query));
  }
  if (!OPTIONS.style || (request.method !== 'GET' && request.method !== 'HEAD')) return request;
  const result = rewrite(request.uri, query);
  if (result.location !== undefined) return response(OPTIONS.redirect_status, result.location);
  request.uri = result.uri;
  return request;
}

function response(status, location) {
  return {
    statusCode: status,
    statusDescription: status === 301 ? 'Moved Permanently' : 'Permanent Redirect',
    headers: { location: { value: location }, 'cache-control': { value: 'no-store' } },
  };
}

function rewrite(uri, query) {
  // Of a path of this length, no encoding fits into a key; to encode it would take compute time.
  if (!uri.startsWith('/') || uri.length > 3 * MAX_KEY_BYTES + 1) return { uri: uri };
  const path = keyPath(uri);
  if (path.length - 2 * path.split('%').length + 1 > MAX_KEY_BYTES) return { uri: uri };
  const parent = path.slice(0, path.lastIndexOf('/'));
  const last = path.slice(parent.length + 1);
  if (!last) return rewriteDirectory(uri, query, parent);
  if (OPTIONS.redirect_index_html && last === 'index.html' && parent && pathKind(parent + '/') === 'directory') {
    return redirect(uri.slice(0, uri.lastIndexOf('/') + 1), query) || { uri: path };
  }
  const kind = pathKind(path);
  if (kind === 'file') return { uri: path };
  if (kind === 'page') return { uri: path + '.html' };
  return (redirects() && redirect(uri + '/', query)) || { uri: path + '/index.html' };
}

function rewriteDirectory(uri, query, path) {
  const kind = pathKind(path + '/');
  if (kind === 'file') return { uri: path + '/' };
  if (kind === 'page') return (redirects() && redirect(uri.slice(0, -1), query)) || { uri: path + '.html' };
  return { uri: path + '/index.html' };
}

function redirects() {
  return OPTIONS.trailing_slash === 'redirect';
}

function pathKind(path) {
  const name = path.replace(/%2E/g, '.');
  const exception = OPTIONS.exceptions[name];
  if (exception || !name.endsWith('/')) return exception || kindByName(name);
  const kind = OPTIONS.exceptions[name.slice(0, -1)];
  if (name.startsWith('/.well-known/')) return kind || 'file';
  const isPage = (kind || kindByName(name.slice(0, -1))) === 'page';
  return isPage && !name.endsWith('//') && name !== '/' ? 'page' : 'directory';
}

function kindByName(path) {
  const isFile = EXTENSION.test(path.slice(path.lastIndexOf('/') + 1).toLowerCase());
  return isFile || path.startsWith('/.well-known/') ? 'file' : OPTIONS.style;
}

function keyPath(path) {
  // Browsers escape each byte of non-ASCII letters; a call for each byte would take too much compute time.
  return path.replace(/(%[89A-F][0-9A-F])+|%[0-9A-Fa-f]{2}|%|[^A-Za-z0-9\-._~\/%]+/g, encode);
}

function encode(text) {
  if (text === '%') return '%25';
  if (text[0] !== '%') {
    return encodeURIComponent(text).replace(/[!'()*]/g, (c) => '%' + c.codePointAt(0).toString(16).toUpperCase());
  }
  if (text.length > 3) return text;
  const character = String.fromCharCode(parseInt(text.slice(1), 16));
  return /[A-Za-z0-9\-_~]/.test(character) ? character : text.toUpperCase();
}

function redirect(path, query) {
  if (path.length < 2 || UNSAFE.test(path)) return null;
  return { location: withQuery(path, query) };
}

function withQuery(path, query) {
  return query && !/[^!-~]/.test(query) ? path + '?' + query : path;
}
