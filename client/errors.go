package client

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/deny"
)

// Errors of this package. Test with errors.Is.
var (
	// ErrClosed: the connection has ended, or Close was called. Every
	// [*CloseError] is one.
	ErrClosed = errors.New("client: closed")

	// ErrQueueFull: [Queue] holds as much as it may.
	ErrQueueFull = errors.New("client: the send queue is full")

	// ErrExpired: a message was not sent before its context or [Queue.MaxAge]
	// ended. It never will be.
	ErrExpired = errors.New("client: the message expired before it was sent")

	// ErrTooLarge: the message is larger than the server accepts. It was not sent.
	ErrTooLarge = errors.New("client: the message is larger than the server accepts")

	// ErrUnauthenticated: there is no credential; somebody has to sign in. A
	// [Source] returns an error that wraps it to say so.
	ErrUnauthenticated = errors.New("client: sign-in needed")
)

// Close codes of a connection that the client gave up by itself. No server sends
// them.
const (
	CodeSilent     = 4900 // no sign of life
	CodeTimeout    = 4901 // no hello in time
	CodeSuperseded = 4903 // another connection took over
	CodeProtocol   = 4904 // the peer broke the protocol
	CodeSeal       = 4905 // the seal was not agreed on, or broke; the text is the code of the fault
)

// RefusedError says that a server did not let a connection, or a request for a
// ticket, in.
type RefusedError struct {
	// Status is the HTTP status; 101 if the server completed the upgrade and
	// closed at once.
	Status int

	// Reason is the row of the table of reasons; 0 if the answer named none that
	// is known.
	Reason deny.Reason

	// Code is the dotted name of the reason, also of one that is not known;
	// empty if there was none.
	Code string

	// RetryAfter is the least time until another attempt; 0 if none was told.
	// At most an hour.
	RetryAfter time.Duration

	// Close is how the connection ended; nil for an HTTP status.
	Close *CloseError

	// Outside says that there is a [Seal] and that this was said outside of it:
	// whoever is in between may have made it up, so that it is no reason to drop
	// a credential or to sign somebody out. errors.As does not find its Close.
	// Always false without a Seal.
	Outside bool
}

func (e *RefusedError) Error() string {
	s := "refused"
	if e.Outside {
		s += " outside the seal"
	}
	if e.Status != http.StatusSwitchingProtocols {
		s += fmt.Sprintf(" with status %d", e.Status)
	}
	switch {
	case e.Code != "":
		s += ": " + shown(e.Code)
	case e.Close != nil:
		s += fmt.Sprintf(": closed with %d %q", e.Close.Code, e.Close.Text)
	}
	return s
}

func (e *RefusedError) Unwrap() error {
	if e.Close == nil || e.Outside {
		return nil
	}
	return e.Close
}

// client is what to do after the refusal.
func (e *RefusedError) client() deny.Client {
	switch {
	case e.Close != nil:
		do, _ := e.Close.Client()
		return do
	case e.Reason != 0:
		return e.Reason.Client()
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden:
		return deny.Reauth
	case e.Status == http.StatusTooManyRequests, e.Status == http.StatusRequestTimeout, e.Status >= 500:
		return deny.Later
	}
	return deny.Never
}

// CloseError says how a connection ended.
type CloseError struct {
	// Code is the close code received: 1005 for a close frame without one, 1006
	// if there was none. If Local is set, it is the client's own.
	Code uint16

	// Text is that of the close frame.
	Text string

	// Local says that this client ended the connection.
	Local bool

	// Door is the dotted name of the door's reason, also of one that is not in
	// the table; empty if the application or the network ended the connection.
	Door string

	// Reason is the row of the table for Door; 0 if there is none.
	Reason deny.Reason

	// RetryAfter is the least time until another attempt; 0 if none was told. At
	// most an hour.
	RetryAfter time.Duration

	// Unknown are the messages that were sent and that the door had not counted
	// as handed over: each may have arrived and may not. Only a connection that
	// speaks sallyport.v1 can tell; on others it is empty.
	Unknown []Message

	// Err is the cause, if there is more to say: of a sealed connection that ended
	// without a word that is certainly the server's, a [*seal.Error].
	Err error
}

func (e *CloseError) Error() string {
	s := fmt.Sprintf("client: closed with %d", e.Code)
	switch {
	case e.Door != "":
		s += " (" + shown(e.Door) + ")"
	case e.Text != "":
		s += fmt.Sprintf(" %q", e.Text)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *CloseError) Unwrap() error { return e.Err }

// Is makes every end of a connection an [ErrClosed].
func (e *CloseError) Is(target error) bool { return target == ErrClosed }

// Client is what the table of reasons says that a client does next. ok is false
// if the end was not the door's, so that the table does not apply.
func (e *CloseError) Client() (do deny.Client, ok bool) {
	switch {
	case e.Reason != 0:
		return e.Reason.Client(), true
	case e.Door == "":
		return "", false
	case e.Code == 4000:
		return deny.NextUse, true
	case e.Code == 4001:
		return deny.Reauth, true
	case e.Code >= 4200 && e.Code <= 4299, e.Code == 1011:
		return deny.Later, true
	}
	return deny.Never, true
}

// retry is what applications usually want after a close that is their own.
func (e *CloseError) retry() bool {
	switch e.Code {
	case 1001, 1005, 1006, 1011, 1012, 1013, 1014:
		return true
	}
	return false
}

// shown is a dotted name as it stands in a log: anybody may have sent it.
func shown(code string) string {
	if strings.Trim(code, "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" {
		return strconv.Quote(code)
	}
	return code
}

// byCode is the table of reasons by its dotted names.
var byCode = func() map[string]deny.Reason {
	m := map[string]deny.Reason{}
	for _, r := range deny.All() {
		m[r.Code()] = r
	}
	return m
}()

// closedBy judges the end of a connection by its close frame and by what the door
// announced, if it did (section 5 of spec/protocol.md).
func closedBy(code uint16, text string, announced *closing) *CloseError {
	e := &CloseError{Code: code, Text: text}
	if announced != nil {
		e.Door, e.Reason, e.RetryAfter = announced.code, byCode[announced.code], announced.retryAfter
		return e
	}
	if r, ok := deny.Parse(text); ok && r.Close() == code {
		e.Door, e.Reason = r.Code(), r
	}
	return e
}
