package seal

import "errors"

// Fault is why a seal was refused or ended: a code of spec/reasons.json or, with
// the prefix "local.", one that only a client uses.
type Fault string

// The faults. What whoever is in between can cause is never FaultMalformed.
const (
	FaultKeys      Fault = "seal.keys"      // the client named a sealing key that is not in use
	FaultHandshake Fault = "seal.handshake" // a message of the handshake is not what the other side sent, or for another place
	FaultBroken    Fault = "seal.broken"    // a record is not the one that the other side sent next
	FaultMalformed Fault = "seal.malformed" // the other side itself sealed something that the protocol forbids
	FaultLimit     Fault = "seal.limit"     // a limit of the protocol was passed
	FaultTruncated Fault = "seal.truncated" // the connection ended without a sealed end
	FaultProof     Fault = "auth.invalid"   // the proof of a device's key does not verify

	FaultPin      Fault = "local.pin"      // no signature of a pinned identity
	FaultDocument Fault = "local.keys"     // the key document is malformed, for another place, out of its time, or older than one seen
	FaultUnsealed Fault = "local.unsealed" // the server did not select the sealed subprotocol
	FaultMisuse   Fault = "internal"       // the caller broke the rules of this package
)

// Error is what every function of this package fails with.
type Error struct {
	Fault Fault
	Cause error // private: for the log, never for the peer; never nil
}

func (e *Error) Error() string { return string(e.Fault) + ": " + e.Cause.Error() }

func (e *Error) Unwrap() error { return e.Cause }

// FaultOf returns the fault of the first [Error] in err's tree, FaultMisuse if
// there is none, and the empty Fault for nil.
func FaultOf(err error) Fault {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Fault
	}
	return FaultMisuse
}

func fault(f Fault, cause string) error { return &Error{Fault: f, Cause: errors.New(cause)} }

func faultBy(f Fault, cause error) error { return &Error{Fault: f, Cause: cause} }
