package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/latchkey/store"
)

// epoch is the time from which PostgreSQL counts microseconds.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

var errWire = errors.New("not in the form that the column has")

// decode returns the row of the binary forms of its columns.
func decode(t *store.Table, columns []store.Column, raw [][]byte) (store.Row, error) {
	if len(raw) != len(columns) {
		return store.Row{}, damaged(t, "row", errWire)
	}
	values := make([]store.Value, len(raw))
	for i, c := range columns {
		if raw[i] == nil {
			continue
		}
		v, err := decodeValue(c, raw[i])
		if err != nil {
			return store.Row{}, damaged(t, c.Name, err)
		}
		values[i] = v
	}
	return store.NewRow(values), nil
}

func damaged(t *store.Table, column string, err error) error {
	return fmt.Errorf("postgres: %w: %s.%s: %w", store.ErrDamaged, t.Name(), column, err)
}

func decodeValue(c store.Column, raw []byte) (store.Value, error) {
	switch {
	case c.JSON && !c.Verbatim:
		return decodeJSON(raw)
	case c.Kind == store.KindText:
		return store.Text(string(raw)), nil
	case c.Kind == store.KindBytes:
		return store.BytesOf(string(raw)), nil
	case c.Kind == store.KindBool:
		if len(raw) != 1 {
			return store.Null, errWire
		}
		return store.Bool(raw[0] != 0), nil
	}
	n, err := decodeInt(raw)
	if c.Kind == store.KindTime {
		return store.Micros(n + epoch), err
	}
	return store.Int(n), err
}

func decodeInt(raw []byte) (int64, error) {
	if len(raw) != 8 {
		return 0, errWire
	}
	return int64(binary.BigEndian.Uint64(raw)), nil
}

// decodeJSON removes the version number before a jsonb in binary form, and the spaces that
// PostgreSQL puts into it. A batch gets it in the form of a text.
func decodeJSON(raw []byte) (store.Value, error) {
	if len(raw) > 0 && raw[0] == 1 {
		raw = raw[1:]
	}
	if len(raw) == 0 {
		return store.Null, errWire
	}
	if bytes.IndexByte(raw, ' ') < 0 {
		return store.Text(string(raw)), nil
	}
	var b bytes.Buffer
	b.Grow(len(raw))
	if err := json.Compact(&b, raw); err != nil {
		return store.Null, errWire
	}
	return store.Text(b.String()), nil
}

// The SQLSTATE codes that this package tests for.
const (
	uniqueViolation     = "23505"
	referenceViolation  = "23503"
	restrictViolation   = "23001" // by ON DELETE RESTRICT, since version 18
	serializationFailed = "40001"
	deadlock            = "40P01"
	completionUnknown   = "40003"
	inAborted           = "25P02"
	planChanged         = "0A000"
	noSuchStatement     = "26000"
	duplicateSchema     = "42P06"
	undefinedColumn     = "42703"
	undefinedTable      = "42P01"
)

func failureOf(conn *pgxpool.Conn, err error) failure {
	var answer *pgconn.PgError
	if !errors.As(err, &answer) {
		return failure{lost: conn.Conn().IsClosed()}
	}
	f := failure{state: answer.Code}
	switch {
	case answer.Code == serializationFailed || answer.Code == deadlock:
		f.conflict = true
	case answer.Code == planChanged || answer.Code == noSuchStatement, conn.Conn().IsClosed():
		f.lost = true
	default:
		return failure{}
	}
	return f
}

// wrapWrite turns an error of the database into an error of the contract.
func (c *caller) wrapWrite(what string, err error) error {
	var answer *pgconn.PgError
	if errors.As(err, &answer) && c.outer.Err() == nil {
		switch answer.Code {
		case uniqueViolation:
			if ix := c.indexes[answer.ConstraintName]; ix != nil {
				return store.Taken(ix)
			}
			return store.ErrExists
		case referenceViolation, restrictViolation:
			return store.ErrReference
		}
		switch answer.Code[:min(2, len(answer.Code))] {
		case "22", "23", "54": // data, constraint, limit
			return fmt.Errorf("postgres: %s: %w (SQLSTATE %s)", what, store.ErrInvalid, answer.Code)
		}
	}
	return wrap(c.outer, what, err)
}

// opening is the name of the operation that makes a store.
const opening = "open"

// wrap names the operation that failed. It leaves the driver's error out of the
// chain, because that has the server's details, and with them values.
func wrap(ctx context.Context, what string, err error) error {
	if e := ctx.Err(); e != nil {
		return e
	}
	var answer *pgconn.PgError
	if errors.As(err, &answer) {
		if what == opening { // no values of rows can be in the message yet
			return fmt.Errorf("postgres: %s: %s (SQLSTATE %s)", what, answer.Message, answer.Code)
		}
		return fmt.Errorf("postgres: %s: SQLSTATE %s", what, answer.Code)
	}
	var network *net.OpError
	if errors.As(err, &network) {
		return fmt.Errorf("postgres: %s: %v", what, network)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("postgres: %s: cancelled", what)
	}
	for errors.Unwrap(err) != nil {
		err = errors.Unwrap(err)
	}
	return fmt.Errorf("postgres: %s: no answer from the server (%T)", what, err)
}
