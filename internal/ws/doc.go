// Package ws speaks RFC 6455, strictly, in both roles, and does no I/O.
//
// It stops what lax readers let through: unmasked or doubly masked frames,
// lengths in three encodings, a 16 GiB message announced in ten bytes, endless
// fragments, broken UTF-8 handed to the application, data after a close frame,
// and handshakes that a proxy and a backend understand differently. The rules
// are those of RFC 6455, sections 4 to 8; where the RFC says SHOULD this package
// says MUST. The SHA-1 of the accept value is no security function.
//
// [Parser] is fed whatever bytes arrived and answers with events; it holds no
// buffer in proportion to its input: a header's worth of scratch, and 125 bytes
// while a control frame that came in pieces is in flight. By default a message
// has at most 64 KiB and 128 fragments. [AppendFrame] and its relatives write
// frames into the caller's buffer. [CheckUpgrade] and [CheckResponse] judge the
// handshake from either side.
//
// It does not: read or write a socket, answer a ping, keep time or rates,
// judge Origin or Host, compress (no extension is ever negotiated).
package ws

import "strconv"

// Role is the role that we play on a connection.
type Role uint8

const (
	Server Role = iota // expects masked frames, sends unmasked ones
	Client             // expects unmasked frames, sends masked ones
)

// Opcode is the kind of a frame (RFC 6455, section 5.2).
type Opcode byte

const (
	Continuation Opcode = 0
	Text         Opcode = 1
	Binary       Opcode = 2
	Close        Opcode = 8
	Ping         Opcode = 9
	Pong         Opcode = 10
)

// Limits of the protocol and defaults of this package, in bytes and frames.
const (
	MaxHeader           = 14       // the longest frame header
	MaxControl          = 125      // the longest payload of a control frame
	DefaultMaxMessage   = 64 << 10 // Parser.MaxMessage when it is not positive
	DefaultMaxFragments = 128      // Parser.MaxFragments when it is 0
)

// Error is a fault of the peer. It ends the connection with Code. Why is
// constant text, safe to show to anybody. Every error of [Parser] is an *Error.
type Error struct {
	Code uint16 // 1002, 1007 or 1009
	Why  string
}

func (e *Error) Error() string { return "ws: " + strconv.Itoa(int(e.Code)) + ": " + e.Why }

// fault is an index into faults: a parser remembers its end in one byte.
type fault uint8

const (
	none fault = iota
	faultReserved
	faultOpcode
	faultControlParts
	faultControlLong
	faultOrphan
	faultInterleaved
	faultUnmasked
	faultMasked
	faultTopBit
	faultNotMinimal
	faultTooBig
	faultTooMany
	faultText
	faultCloseShort
	faultCloseCode
	faultCloseText
)

var faults = [...]*Error{
	faultReserved:     {1002, "a reserved bit is set"},
	faultOpcode:       {1002, "the opcode is reserved"},
	faultControlParts: {1002, "a control frame is fragmented"},
	faultControlLong:  {1002, "a control frame is longer than 125 bytes"},
	faultOrphan:       {1002, "a continuation frame continues nothing"},
	faultInterleaved:  {1002, "a message begins inside another"},
	faultUnmasked:     {1002, "a client frame is not masked"},
	faultMasked:       {1002, "a server frame is masked"},
	faultTopBit:       {1002, "the top bit of a length is set"},
	faultNotMinimal:   {1002, "a length is not minimally encoded"},
	faultTooBig:       {1009, "the message is larger than allowed"},
	faultTooMany:      {1009, "the message has more fragments than allowed"},
	faultText:         {1007, "a text message is not UTF-8"},
	faultCloseShort:   {1002, "a close frame has a payload of one byte"},
	faultCloseCode:    {1002, "a close code is not valid on the wire"},
	faultCloseText:    {1007, "a close reason is not UTF-8"},
}
