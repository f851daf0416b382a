package ws

import (
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
)

// Bounds of a handshake.
const (
	MaxProtocols = 64      // subprotocols offered
	MaxListBytes = 8 << 10 // bytes of all lines together of one list header
)

// Header names as net/http spells them.
const (
	hUpgrade    = "Upgrade"
	hConnection = "Connection"
	hVersion    = "Sec-Websocket-Version"
	hKey        = "Sec-Websocket-Key"
	hAccept     = "Sec-Websocket-Accept"
	hProtocol   = "Sec-Websocket-Protocol"
	hExtensions = "Sec-Websocket-Extensions"
)

// Fault says why a handshake was not accepted. Every error of [CheckUpgrade] and
// [CheckResponse] is a *Fault; Why is constant text.
type Fault struct {
	// Status is the HTTP status for the refusal: 400, 405, 426 (the answer must
	// then carry Sec-WebSocket-Version: 13 and Upgrade: websocket), 431 or 505;
	// from CheckResponse always 502.
	Status int
	// Code names what was wrong: "proto", "method", "body", "upgrade",
	// "connection", "version", "key", "protocols", "extensions"; from
	// CheckResponse also "status" and "accept".
	Code string
	Why  string
}

func (f *Fault) Error() string { return "ws: handshake: " + f.Why }

// Offer is what a client asked for.
type Offer struct {
	Key       string   // as sent: 24 characters
	Protocols []string // in the client's order, without doubles; nil when none
}

// IsUpgrade says whether r asks for any upgrade: it has an Upgrade header, a
// Connection header that names it, or is an extended CONNECT (RFC 8441). Such a
// request must pass [CheckUpgrade] or be refused; it is never an ordinary one.
func IsUpgrade(r *http.Request) bool {
	if len(r.Header[hUpgrade]) > 0 || r.Method == http.MethodConnect && len(r.Header[":protocol"]) > 0 {
		return true
	}
	for _, line := range r.Header[hConnection] {
		for member := range strings.SplitSeq(line, ",") {
			if sameToken(trim(member), "upgrade") {
				return true
			}
		}
	}
	return false
}

// CheckUpgrade judges a handshake by RFC 6455, section 4.2.1, in time linear in
// the size of its headers. Stricter than the RFC: Upgrade is one token only, a
// request with a body, Transfer-Encoding or Expect is refused, subprotocols are
// at most 64 unique tokens, and lists over 8 KiB are 431. Extensions are never
// negotiated, so their header is bounded and not read. Origin and Host are not
// judged here.
func CheckUpgrade(r *http.Request) (Offer, error) {
	h := r.Header
	switch {
	case r.ProtoMajor != 1 || r.ProtoMinor != 1:
		return Offer{}, &Fault{505, "proto", "the handshake needs HTTP/1.1"}
	case r.Method != http.MethodGet:
		return Offer{}, &Fault{405, "method", "the handshake needs GET"}
	case r.ContentLength != 0, len(r.TransferEncoding) > 0, hasBody(h), len(h["Expect"]) > 0, len(r.Trailer) > 0:
		return Offer{}, &Fault{400, "body", "a handshake has no body and expects nothing"}
	case len(h[hUpgrade]) == 0:
		return Offer{}, &Fault{426, "upgrade", "the request asks for no upgrade"}
	case !isWebSocket(h):
		return Offer{}, &Fault{400, "upgrade", "the upgrade is not to websocket alone"}
	case !connectionUpgrade(h):
		return Offer{}, &Fault{400, "connection", "the Connection header does not name upgrade"}
	case len(h[hVersion]) != 1 || h[hVersion][0] != "13":
		return Offer{}, &Fault{426, "version", "the version is not 13"}
	case len(h[hKey]) != 1 || !validKey(h[hKey][0]):
		return Offer{}, &Fault{400, "key", "the key is not one of 16 bytes in base64"}
	case listBytes(h[hExtensions]) > MaxListBytes:
		return Offer{}, &Fault{431, "extensions", "the offer of extensions is too long"}
	}
	protocols, err := offered(h[hProtocol])
	if err != nil {
		return Offer{}, err
	}
	return Offer{Key: h[hKey][0], Protocols: protocols}, nil
}

// offered splits the lines of Sec-WebSocket-Protocol: together one list.
func offered(lines []string) ([]string, error) {
	if len(lines) == 0 {
		return nil, nil
	}
	if listBytes(lines) > MaxListBytes {
		return nil, &Fault{431, "protocols", "the offer of subprotocols is too long"}
	}
	var list []string
	seen := make(map[string]struct{})
	for _, line := range lines {
		for member := range strings.SplitSeq(line, ",") {
			member = trim(member)
			switch _, twice := seen[member]; {
			case !validToken(member):
				return nil, &Fault{400, "protocols", "a subprotocol is not a token"}
			case twice:
				return nil, &Fault{400, "protocols", "a subprotocol is offered twice"}
			case len(list) == MaxProtocols:
				return nil, &Fault{400, "protocols", "too many subprotocols are offered"}
			}
			seen[member] = struct{}{}
			list = append(list, member)
		}
	}
	return list, nil
}

// AcceptKey computes the accept value of a key (RFC 6455, section 4.2.2).
func AcceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// AppendSwitching appends the head of a 101 answer but for the empty line that
// ends it. protocol is left out when it is empty or was not offered.
func AppendSwitching(dst []byte, offer Offer, protocol string) []byte {
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"...)
	dst = appendLine(dst, "Sec-WebSocket-Accept", AcceptKey(offer.Key))
	if protocol != "" && slices.Contains(offer.Protocols, protocol) && validToken(protocol) {
		dst = appendLine(dst, "Sec-WebSocket-Protocol", protocol)
	}
	return dst
}

// AppendResponse appends the whole head of a 101 answer. Headers of h that belong
// to the handshake or to a body, and those that are not valid in HTTP (a CR, an LF,
// any control character), are dropped; the others follow what [AppendSwitching]
// appends, sorted by name.
func AppendResponse(dst []byte, offer Offer, protocol string, h http.Header) []byte {
	dst = AppendSwitching(dst, offer, protocol)
	for _, name := range sortedNames(h) {
		for _, value := range h[name] {
			if validLine(name, value) && !reserved(name) {
				dst = appendLine(dst, name, value)
			}
		}
	}
	return append(dst, "\r\n"...)
}
