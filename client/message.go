package client

import "github.com/sallyport/sallyport/internal/ws"

// Kind is the type of a message.
type Kind uint8

const (
	Text   Kind = Kind(ws.Text)   // valid UTF-8
	Binary Kind = Kind(ws.Binary) // any bytes
)

func (k Kind) String() string {
	switch k {
	case Text:
		return "text"
	case Binary:
		return "binary"
	}
	return "unknown"
}

// Message is one WebSocket message.
type Message struct {
	Kind Kind
	Data []byte

	// ID is the application's own name for a message that it sends. It does not
	// travel: it comes back when the fate of the message is unknown.
	ID string
}

// messageCost is what a kept message takes besides its data, in bytes: a queue
// of empty messages is bounded too.
const messageCost = 64

func cost(m Message) int { return messageCost + len(m.Data) + len(m.ID) }
