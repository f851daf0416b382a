// What an application says to the administrator's API of its door: a unix socket
// that only its own user can open.
import http from 'node:http'

const socketPath = process.env.ADMIN ?? 'examples/express/out/state/admin.sock'

function ask(path, body) {
  return new Promise((done, fail) => {
    const text = JSON.stringify(body)
    const request = http.request(
      { socketPath, path, method: 'POST', timeout: 5000, headers: { host: 'sallyport', 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) } },
      async response => {
        const parts = []
        try {
          for await (const part of response) parts.push(part)
          const answer = JSON.parse(Buffer.concat(parts))
          if (response.statusCode === 200) done(answer)
          else fail(new Error(`the door: ${response.statusCode} ${answer.message}`))
        } catch (error) {
          fail(error)
        }
      },
    )
    request.on('timeout', () => request.destroy(new Error('the door does not answer')))
    request.on('error', fail)
    request.end(text)
  })
}

/** A ticket for a user that the application vouches for, in the form that the client wants. */
export async function mintTicket({ gate, subject, session, origin }) {
  const { ticket, protocol, expires_in } = await ask('/tickets', { gate, subject, session, origin, expires_in: 3600 })
  return { ticket, protocol, expires_in }
}

/** Ends every connection of a session, for good; resolves when they have been told. */
export const endSession = session => ask('/revocations', { session })
