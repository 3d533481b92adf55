// A request as code that works as copied.

const quoted = text => `'${text.replaceAll("'", `'\\''`)}'`;
const literal = text => JSON.stringify(text);

// Return {curl, python, javascript} for a request to `address`; `image` is {name, sample}: a file of the user's
// own, or the address of a drawn sample. With `key`, it comes from the environment.
export function code(address, image, key) {
  return {
    curl: curl(address, image, key),
    python: python(address, image, key),
    javascript: javascript(address, image, key),
  };
}

function curl(address, {name, sample}, key) {
  const header = key ? `-H "Authorization: Bearer $STRIATE_KEY" ` : '';
  if (sample) return `curl -s ${header}${quoted(sample)} |\n  curl -s ${header}-F file=@- ${quoted(address)}`;
  // In curl's own quotes, a comma or semicolon of the name is part of it.
  const file = quoted(`file=@"${name.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`);
  return `curl -s ${header}-F ${file} ${quoted(address)}`;
}

function python(address, {name, sample}, key) {
  const headers = key
    ? `headers = {"Authorization": "Bearer " + os.environ["STRIATE_KEY"]}`
    : 'headers = {}';
  const data = sample
    ? `data = urlopen(Request(${literal(sample)}, headers=headers)).read()`
    : `data = open(${literal(name)}, "rb").read()`;
  return [
    `import json${key ? ', os' : ''}`,
    'from urllib.request import Request, urlopen',
    '',
    headers,
    data,
    'headers["Content-Type"] = "application/octet-stream"',
    `answer = json.load(urlopen(Request(${literal(address)}, data, headers)))`,
    'print(json.dumps(answer, indent=2))',
  ].join('\n');
}

function javascript(address, {name, sample}, key) {
  const headers = key ? '{Authorization: `Bearer ${process.env.STRIATE_KEY}`}' : '{}';
  const body = sample
    ? `const body = await (await fetch(${literal(sample)}, {headers})).blob();`
    : `const {readFile} = await import('node:fs/promises');\nconst body = await readFile(${literal(name)});`;
  return [
    `const headers = ${headers};`,
    body,
    `headers['Content-Type'] = 'application/octet-stream';`,
    `const response = await fetch(${literal(address)}, {method: 'POST', headers, body});`,
    'console.log(JSON.stringify(await response.json(), null, 2));',
  ].join('\n');
}
