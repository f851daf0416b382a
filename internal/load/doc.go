// Package load puts a WebSocket server under load and measures what it does: the
// engine of "sallyport bench".
//
// It stops the two ways in which such figures lie. A reply is timed from the
// moment at which its message was due and not from when it could be sent, so that
// a server that stalls is charged for everybody who had to wait (coordinated
// omission); and how late this program itself was is measured beside it. What was
// refused, failed or ended is counted by its reason and never left out.
//
// Latencies are kept in HDR histograms of three significant digits, from 1 ns to
// an hour; what is above counts as an hour. Frames are those of RFC 6455, read
// strictly. By default 100 connections open in a second, a message has 64 bytes,
// and the server is expected to echo.
//
// Everything is bounded: connections (100,000, and what the process may open),
// handshakes at the same time, waits, reasons that are told apart (64 of each
// kind). A connection costs a goroutine, a buffer of 1 KiB and what crypto/tls
// keeps; a buffer to send from is lent for the time of one write.
//
// It does not speak sallyport.v1, the seal or any other protocol inside of
// messages, and it is not shy: whose server it is pointed at is the caller's
// business.
package load
