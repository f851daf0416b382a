package demo

import (
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/engine"
	"github.com/sallyport/sallyport/internal/link"
	"github.com/sallyport/sallyport/internal/ws"
)

// Bounds of a line, in bytes: of the message that carries it, and of its text.
const (
	maxLine = 4 << 10
	maxText = 2 << 10
)

// line is what the chat tells everybody.
type line struct {
	From string    `json:"from"`
	Text string    `json:"text"`
	At   time.Time `json:"at"`
}

// chat is the backend: a small WebSocket server as there are many. It asks
// nobody for a credential, keeps no session and has no limits of its own; that
// is the door's work. It believes one header about who is there, after checking
// the door's signature, and refuses whoever comes without.
type chat struct {
	identities *identities
	engine     engine.Portable
	sockets    sync.WaitGroup // sockets not yet given back
	writers    sync.WaitGroup // goroutines of outboxes

	mu     sync.Mutex // guards what follows
	guests map[*guest]bool
	closed bool
}

func newChat(identities *identities) *chat {
	return &chat{identities: identities, guests: map[*guest]bool{}}
}

func (c *chat) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	who, err := c.identities.subject(r.Header.Get(identityHeader))
	if err != nil {
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	offer, err := ws.CheckUpgrade(r)
	if err != nil {
		http.Error(w, "this is a WebSocket server", http.StatusBadRequest)
		return
	}
	socket, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "no upgrade here", http.StatusInternalServerError)
		return
	}
	socket.SetDeadline(time.Time{})
	early := make([]byte, rw.Reader.Buffered())
	rw.Reader.Read(early) // from memory
	c.join(socket, who, ws.AppendResponse(nil, offer, "", nil), early)
}

// join adds a guest, unless the chat has closed.
func (c *chat) join(socket net.Conn, who string, response, early []byte) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		socket.Close()
		return
	}
	g := &guest{chat: c, who: who}
	c.sockets.Add(1)
	g.link = link.New(&c.engine, socket, g, link.Config{
		Role: ws.Server, MaxMessage: maxLine, WriteWait: 10 * time.Second, Writers: &c.writers,
	}, response)
	c.guests[g] = true
	c.mu.Unlock()
	g.link.Start(early)
}

// tell sends a line to everybody. Who does not read is let go.
func (c *chat) tell(l line) {
	text, err := json.Marshal(l)
	if err != nil {
		return // a line always can be written
	}
	c.mu.Lock()
	guests := make([]*guest, 0, len(c.guests))
	for g := range c.guests {
		guests = append(guests, g)
	}
	c.mu.Unlock()
	for _, g := range guests {
		if err := g.link.Send(ws.Text, text); err != nil {
			g.leave(1008, "too slow")
		}
	}
}

// close says goodbye and waits until every socket is given back.
func (c *chat) close() {
	c.mu.Lock()
	c.closed = true
	guests := c.guests
	c.guests = map[*guest]bool{}
	c.mu.Unlock()
	for g := range guests {
		g.link.Close(1001, "")
	}
	c.sockets.Wait()
	c.engine.Wait()
	c.writers.Wait()
}

// guest is one connection, the owner of its link.
type guest struct {
	chat *chat
	link *link.Link
	who  string

	partial []byte // owned by the event in progress; at most maxLine
}

func (g *guest) Ready() bool               { return true }
func (g *guest) Control(ws.Event)          {}
func (g *guest) Arrived(int, bool)         {}
func (g *guest) Drained()                  {}
func (g *guest) Released()                 { g.chat.sockets.Done() }
func (g *guest) PeerClosed(uint16, string) { g.leave(1000, "") }
func (g *guest) Failed(error)              { g.leave(1002, "") }

// Data collects a message and tells it to everybody under the guest's name,
// whatever name the message gives.
func (g *guest) Data(ev ws.Event) {
	g.partial = append(g.partial, ev.Data...)
	if !ev.Last {
		return
	}
	var in struct{ Text string }
	err := json.Unmarshal(g.partial, &in)
	g.partial = nil
	in.Text = strings.TrimSpace(in.Text)
	if ev.Op != ws.Text || err != nil || len(in.Text) > maxText {
		g.leave(1003, "a line is JSON: {\"text\": …}")
		return
	}
	if in.Text != "" {
		g.chat.tell(line{From: g.who, Text: in.Text, At: time.Now().UTC()})
	}
}

func (g *guest) leave(code uint16, why string) {
	g.chat.mu.Lock()
	delete(g.chat.guests, g)
	g.chat.mu.Unlock()
	g.link.Close(code, why)
}
