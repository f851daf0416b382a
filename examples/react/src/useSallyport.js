import { useCallback, useEffect, useRef, useState } from 'react'
import { createClient } from 'sallyport'

/**
 * A connection for as long as the component is there. onMessage gets every message,
 * onUnknown those that were sent and may not have arrived. options are read when a
 * connection is made: they need not be the same object each time.
 */
export function useSallyport(url, { onMessage, onUnknown, ...options }) {
  const [state, setState] = useState({ status: 'idle' })
  const client = useRef(null)
  const latest = useRef(null)
  useEffect(() => {
    latest.current = { onMessage, onUnknown, options }
  })
  useEffect(() => {
    const c = createClient(url, latest.current.options)
    const stop = new AbortController()
    c.addEventListener('state', e => setState(e.detail), { signal: stop.signal })
    c.addEventListener('message', e => latest.current.onMessage?.(e.detail), { signal: stop.signal })
    c.addEventListener('unknown', e => latest.current.onUnknown?.(e.detail.messages), { signal: stop.signal })
    c.connect().catch(() => {}) // the state tells
    client.current = c
    return () => {
      stop.abort() // a component that is gone hears nothing
      c.close()
    }
  }, [url])
  const send = useCallback((data, how) => client.current.send(data, how), [])
  return { state, send }
}
