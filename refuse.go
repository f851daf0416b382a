package sallyport

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/headers"
	"github.com/sallyport/sallyport/internal/link"
	"github.com/sallyport/sallyport/internal/ws"
)

// Bounds of refusing by close code.
const (
	refusalWindow = 10 * time.Second
	refusalBurst  = 5    // of one (address, origin) in a window; then 429
	refusalKeys   = 4096 // remembered at once
)

// refusals bounds what refusing politely may cost.
type refusals struct {
	mu     sync.Mutex // guards what follows
	max    int        // how many may linger at once
	linger int
	recent map[refusalKey]*refusalCount
}

type refusalKey struct {
	address netip.Prefix // as places are counted
	origin  string
}

type refusalCount struct {
	since time.Time
	n     int
}

// enter takes a place for a refusal by close code. wait is how long this client
// should stay away if it had too many; ok is false if there is no place.
func (f *refusals) enter(key refusalKey) (wait time.Duration, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if f.recent == nil {
		f.recent = map[refusalKey]*refusalCount{}
	}
	count := f.recent[key]
	if count == nil || now.Sub(count.since) >= refusalWindow {
		if count == nil && len(f.recent) >= refusalKeys {
			f.forget(now)
		}
		count = &refusalCount{since: now}
		f.recent[key] = count
	}
	if count.n++; count.n > refusalBurst {
		return refusalWindow - now.Sub(count.since), false
	}
	if f.linger >= f.max {
		return 0, false
	}
	f.linger++
	return 0, true
}

// forget drops what is over; if all is fresh, everything: an attacker with that
// many addresses is not slowed by counting.
func (f *refusals) forget(now time.Time) {
	for k, c := range f.recent {
		if now.Sub(c.since) >= refusalWindow {
			delete(f.recent, k)
		}
	}
	if len(f.recent) >= refusalKeys {
		clear(f.recent)
	}
}

func (f *refusals) setMax(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.max = n
}

func (f *refusals) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.linger--
}

// byPolicy reports whether a reason is a verdict about the client, which a page
// should learn by its close code.
func byPolicy(r deny.Reason) bool { return r.Close() == 4001 }

// refuse answers a handshake that was well-formed.
func (v *visit) refuse(err error) {
	reason := deny.Of(err)
	switch {
	case v.breach != nil:
		v.refuseSealed(err)
		return
	case v.taken != nil:
		v.refuseRaw(v.taken, err)
		return
	case !byPolicy(reason) || v.gate.Refuse == RefuseHTTP:
		v.refuseHTTP(err)
		return
	}
	wait, ok := v.door.refusals.enter(refusalKey{guard.AddressKey(v.address), v.originSent()})
	if !ok {
		if wait > 0 {
			v.w.Header().Set("Retry-After", strconv.Itoa(int(wait.Seconds())+1))
			v.observe(err, http.StatusTooManyRequests)
			v.write(http.StatusTooManyRequests, reason)
			return
		}
		v.refuseHTTP(err)
		return
	}
	defer v.door.refusals.leave()
	socket, _, hijackErr := v.door.hijack(v.w)
	if hijackErr != nil {
		v.refuseHTTP(deny.Because(deny.Internal, fmt.Errorf("%w, while refusing: %w", hijackErr, err)))
		return
	}
	v.farewell(socket, reason, err)
}

// farewell completes the upgrade and closes, in one write.
func (v *visit) farewell(socket net.Conn, reason deny.Reason, err error) {
	apps, _ := appProtocols(v.offer.Protocols) // an origin is refused before them
	protocol := selectForRefusal(v.offer.Protocols, apps)
	last := v.switching(protocol)
	if speaks(protocol) {
		last = append(last, controlFrame(closing(reason, 0))...)
	}
	last = ws.AppendClose(last, ws.Server, reason.Close(), reason.CloseReason())
	v.observe(err, http.StatusSwitchingProtocols)
	link.Farewell(socket, last)
}

// refuseRaw answers on a socket that was already taken from the HTTP server.
func (v *visit) refuseRaw(socket net.Conn, err error) {
	reason := deny.Of(err)
	if byPolicy(reason) && v.gate.Refuse == RefuseClose {
		if _, ok := v.door.refusals.enter(refusalKey{guard.AddressKey(v.address), v.originSent()}); ok {
			defer v.door.refusals.leave()
			v.farewell(socket, reason, err)
			return
		}
	}
	v.observe(err, reason.Status())
	link.Farewell(socket, rawRefusal(v.policy.headers, reason))
}

// rawRefusal is a whole HTTP response.
func rawRefusal(h headersPolicy, reason deny.Reason) []byte {
	body := denialBody(reason)
	b := fmt.Appendf(nil, "HTTP/1.1 %d %s\r\n", reason.Status(), http.StatusText(reason.Status()))
	b = h.Append(b)
	b = fmt.Appendf(b, "Content-Type: application/json\r\nCache-Control: no-store\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", len(body))
	return append(b, body...)
}

// refuseHTTP answers a handshake, or a request to a gate, with an HTTP status.
func (v *visit) refuseHTTP(err error) {
	reason := deny.Of(err)
	v.observe(err, reason.Status())
	v.write(reason.Status(), reason)
}

func (v *visit) write(status int, reason deny.Reason) {
	v.policy.headers.Apply(v.w.Header())
	if reason == deny.HTTPVersion {
		v.w.Header().Set("Sec-WebSocket-Version", "13")
	}
	writeReason(v.w, status, reason)
}

func (v *visit) observe(err error, status int) {
	gate := ""
	if v.gate != nil {
		gate = v.gate.Path
	}
	v.door.observe(Event{
		Kind: Refused, Gate: gate, Path: rawPath(v.r), Origin: v.originSent(), Address: v.address, Identity: v.id,
		Reason: deny.Of(err), Cause: err, Status: status, Lasted: time.Since(v.began), Sealed: v.seals != "",
	})
}

// originSent is the origin as checked, else as sent, cut to a length that a log
// can bear. It is remembered after the request, so the rest of the line must not
// hang on to it.
func (v *visit) originSent() string {
	if v.origin != "" {
		return v.origin
	}
	return clip(v.r.Header.Get("Origin"))
}

// writeDenial answers an ordinary request with the reason of err.
func writeDenial(w http.ResponseWriter, err error) {
	reason := deny.Of(err)
	writeReason(w, reason.Status(), reason)
}

func writeReason(w http.ResponseWriter, status int, reason deny.Reason) {
	headers.NoStore(w.Header())
	w.Header().Set("Content-Type", "application/json")
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		if w.Header().Get("Retry-After") == "" {
			w.Header().Set("Retry-After", "1")
		}
	}
	w.WriteHeader(status)
	w.Write(denialBody(reason))
}

func denialBody(reason deny.Reason) []byte {
	body, _ := json.Marshal(map[string]string{"error": reason.Code(), "message": reason.Sentence()})
	return append(body, '\n')
}
