package ws

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// NewKey returns an unpredictable Sec-WebSocket-Key.
func NewKey() string {
	var raw [16]byte
	rand.Read(raw[:]) // never fails: the program ends when the system has no randomness
	return base64.StdEncoding.EncodeToString(raw[:])
}

// AppendRequest appends the whole head of a client's handshake. method must be
// GET, target an origin-form ("/path?query", nothing but visible ASCII, no
// fragment), host a host with an optional port, key 16 bytes in base64. h is
// written sorted by name. Whatever could break out of its line (CR, LF, NUL, any
// control character), a subprotocol that is no unique token, and a header that
// belongs to the handshake or to a body are an error, and dst is returned as it was.
func AppendRequest(dst []byte, method, target, host, key string, protocols []string, h http.Header) ([]byte, error) {
	switch {
	case method != http.MethodGet:
		return dst, errors.New("ws: write handshake: the method must be GET")
	case !validTarget(target):
		return dst, errors.New("ws: write handshake: the target is not a path")
	case !validHost(host):
		return dst, errors.New("ws: write handshake: the host is not valid")
	case !validKey(key):
		return dst, errors.New("ws: write handshake: the key is not valid")
	}
	if len(protocols) > 0 {
		if again, err := offered(protocols); err != nil {
			return dst, fmt.Errorf("ws: write handshake: %w", err)
		} else if !slices.Equal(again, protocols) {
			return dst, errors.New("ws: write handshake: a subprotocol is not a token")
		}
	}
	names := sortedNames(h)
	for _, name := range names {
		if reserved(name) {
			return dst, fmt.Errorf("ws: write handshake: header %s may not be set", name)
		}
		for _, value := range h[name] {
			if !validLine(name, value) {
				return dst, fmt.Errorf("ws: write handshake: header %q is not valid", name)
			}
		}
	}
	dst = append(dst, "GET "...)
	dst = append(dst, target...)
	dst = append(dst, " HTTP/1.1\r\n"...)
	dst = appendLine(dst, "Host", host)
	dst = append(dst, "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"...)
	dst = appendLine(dst, "Sec-WebSocket-Key", key)
	if len(protocols) > 0 {
		dst = appendLine(dst, "Sec-WebSocket-Protocol", strings.Join(protocols, ", "))
	}
	for _, name := range names {
		for _, value := range h[name] {
			dst = appendLine(dst, name, value)
		}
	}
	return append(dst, "\r\n"...), nil
}

// CheckResponse judges a server's answer by RFC 6455, section 4.1: status 101,
// HTTP/1.1, Upgrade to websocket alone, Connection, exactly one right accept
// value, no extension, no body, and at most one subprotocol, which must have been
// offered. protocol is empty when the server selected none.
func CheckResponse(r *http.Response, key string, offered []string) (protocol string, err error) {
	h := r.Header
	bad := func(code, why string) (string, error) { return "", &Fault{http.StatusBadGateway, code, why} }
	switch {
	case r.StatusCode != http.StatusSwitchingProtocols:
		return bad("status", "the server did not switch protocols")
	case r.ProtoMajor != 1 || r.ProtoMinor != 1:
		return bad("proto", "the answer is not HTTP/1.1")
	case !isWebSocket(h):
		return bad("upgrade", "the server did not upgrade to websocket alone")
	case !connectionUpgrade(h):
		return bad("connection", "the Connection header does not name upgrade")
	case len(h[hAccept]) != 1 || h[hAccept][0] != AcceptKey(key):
		return bad("accept", "the accept value is wrong")
	case len(h[hExtensions]) > 0:
		return bad("extensions", "the server selected an extension that was not offered")
	case r.ContentLength > 0, len(r.TransferEncoding) > 0, hasBody(h), len(r.Trailer) > 0:
		return bad("body", "the answer has a body")
	}
	switch lines := h[hProtocol]; {
	case len(lines) == 0:
		return "", nil
	case len(lines) > 1 || !slices.Contains(offered, lines[0]) || !validToken(lines[0]):
		return bad("protocols", "the server selected a subprotocol that was not offered")
	default:
		return lines[0], nil
	}
}
