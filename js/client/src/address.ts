// What both clients check of an address and of subprotocols before anything is sent.

/** A `SyntaxError`, as the platform's constructor throws it. */
export const syntax = (message: string) => new DOMException(message, 'SyntaxError')

/** The URL of a socket by the rules of the platform, and encrypted. Throws a {@link syntax}. */
export function address(text: string | URL, options: { dangerouslyAllowPlaintext?: string | undefined }): URL {
  try {
    const url = new URL(text, globalThis.document?.baseURI ?? globalThis.location?.href)
    url.protocol = url.protocol.replace(/^http/, 'ws')
    const { protocol, href } = url
    if ((protocol === 'wss:' || (protocol === 'ws:' && options.dangerouslyAllowPlaintext)) && !href.includes('#')) return url
  } catch {
    // It is no URL at all.
  }
  throw syntax(`no wss: URL: ${text}`)
}

/** The application's subprotocols: tokens (RFC 9110, section 5.6.2), each once, and none of the door's. Throws a {@link syntax}. */
export function subprotocols<T extends readonly string[]>(list: T): T {
  if (new Set(list).size < list.length || !list.every(p => /^(?!sallyport)[\w!#$%&'*+.^`|~-]+$/.test(p)))
    throw syntax(`subprotocols: ${list}`)
  return list
}
