package client

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/strictjson"
)

// Why says what a credential is asked for.
type Why string

const (
	Connecting   Why = "connect"   // the first connection
	Reconnecting Why = "reconnect" // the one before was lost
	Expiring     Why = "expiring"  // the connection goes on; its credential ends soon
	Rejected     Why = "rejected"  // the last one was not accepted: a kept one must not be given again
)

// Source gives a fresh credential: a one-time ticket ("sallyport.ticket.…") or a
// bearer token. It is called before every attempt and before the credential of a
// connection ends. It must return when ctx ends. An error that wraps
// [ErrUnauthenticated] says that there is none, and ends the matter; any other
// is retried with back-off.
type Source func(ctx context.Context, why Why) (string, error)

// Bounds of credentials, in bytes.
const (
	ticketPrefix    = "sallyport.ticket."
	maxTicket       = 512
	maxToken        = 8 << 10
	maxTicketAnswer = 4 << 10
)

// credential is what a handshake or a renewal presents; at most one is set.
type credential struct{ ticket, token string }

func (p *plan) hasSource() bool { return p.Ticket != nil || p.TicketURL != "" || p.Token != nil }

// credential asks the sources.
func (p *plan) credential(ctx context.Context, why Why) (c credential, err error) {
	if p.Token != nil {
		if c.token, err = p.Token(ctx, why); err == nil {
			err = checkToken(c.token)
		}
		if err != nil {
			return credential{}, fmt.Errorf("get a token: %w", err)
		}
	}
	switch {
	case p.Ticket != nil:
		c.ticket, err = p.Ticket(ctx, why)
	case p.TicketURL != "":
		c.ticket, err = p.fetchTicket(ctx, c.token)
		c.token = "" // it went into the ticket
	default:
		return c, nil
	}
	if err == nil {
		err = checkTicket(c.ticket)
	}
	if err != nil {
		return credential{}, fmt.Errorf("get a ticket: %w", err)
	}
	return c, nil
}

func checkTicket(s string) error {
	rest, ok := strings.CutPrefix(s, ticketPrefix)
	if _, err := base64.RawURLEncoding.DecodeString(rest); !ok || err != nil || rest == "" || len(s) > maxTicket || strings.ContainsAny(s, "\r\n") {
		return errors.New("what was given is no ticket") // and is not repeated here: it may be a secret
	}
	return nil
}

func checkToken(s string) error {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return errors.New("what was given is no token")
		}
	}
	if s == "" || len(s) > maxToken {
		return errors.New("the token is empty or longer than 8 KiB")
	}
	return nil
}

// fetchTicket asks the door's endpoint.
func (p *plan) fetchTicket(ctx context.Context, token string) (string, error) {
	body, err := json.Marshal(map[string]string{"gate": p.Gate})
	if err != nil {
		return "", err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.TicketURL, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	for name, values := range p.Header {
		r.Header[name] = values
	}
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := p.tickets.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, maxTicketAnswer+1))
	switch {
	case err != nil:
		return "", err
	case answer.StatusCode != http.StatusOK:
		refused := refusal(answer, data)
		if p.seal != nil {
			return "", hearsay(refused)
		}
		if answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden {
			return "", fmt.Errorf("%w: %w", ErrUnauthenticated, refused)
		}
		return "", refused
	case len(data) > maxTicketAnswer:
		return "", errors.New("the answer is longer than 4 KiB")
	}
	object, err := strictjson.Object(data)
	if err != nil {
		return "", err
	}
	m := members{object: object}
	return m.text("ticket"), m.err
}

// refusal is what an answer says that lets nobody in. body may be cut.
func refusal(answer *http.Response, body []byte) *RefusedError {
	e := &RefusedError{Status: answer.StatusCode, RetryAfter: retryAfter(answer.Header)}
	if object, err := strictjson.Object(body); err == nil {
		m := members{object: object}
		if code := m.text("error"); m.err == nil && len(code) <= 64 {
			e.Code, e.Reason = code, byCode[code]
		}
	}
	return e
}

// retryAfter reads Retry-After: seconds, or a date, which counts from the
// answer's own: the server's clock is not ours.
func retryAfter(h http.Header) time.Duration {
	s := h.Get("Retry-After")
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		return min(time.Duration(n)*time.Second, maxWait)
	}
	until, err := http.ParseTime(s)
	if err != nil {
		return 0
	}
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0
	}
	return min(max(until.Sub(date), 0), maxWait)
}
