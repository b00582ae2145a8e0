package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"strings"

	"example.com/latchkey/store"
)

// fewRows is the greatest number of rows that wait for a batch one by one. A COPY cannot wait.
const fewRows = 32

// InsertAll is one COPY in binary form, in one round trip. It needs no description
// of the columns, and so is the same through a pooler. A careful run inserts the rows one by one,
// and so does a call with few rows, or with rows that are numbered.
func (c *caller) InsertAll(ctx context.Context, t *store.Table, rows []store.Row) error {
	if c.careful || c.batches && len(rows) <= fewRows || t.Numbered() != nil {
		for _, row := range rows {
			if err := c.Insert(ctx, t, row); err != nil {
				return err
			}
		}
		return nil
	}
	c.beforeWrite(t, true)
	c.checkLater(t)
	if len(c.waiting) > 0 {
		if err := c.flush(); err != nil {
			return err
		}
	}
	data := encodeCopy(t, rows)
	if _, err := c.conn.Conn().PgConn().CopyFrom(c.ctx, bytes.NewReader(data), c.copyText(t)); err != nil {
		return c.refused("copy", err)
	}
	return nil
}

func (c *caller) copyText(t *store.Table) string {
	columns := make([]string, len(t.Columns()))
	for i, column := range t.Columns() {
		columns[i] = column.Name
	}
	return "COPY " + c.names.table(t.Name()) + " (" + strings.Join(columns, ", ") + ") FROM STDIN (FORMAT binary)"
}

// copyHeader begins the data of a COPY in binary form: a signature, no flags and no
// extension.
const copyHeader = "PGCOPY\n\xff\r\n\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00"

// encodeCopy returns rows in the binary form of COPY.
func encodeCopy(t *store.Table, rows []store.Row) []byte {
	columns := t.Columns()
	b := []byte(copyHeader)
	for _, row := range rows {
		b = binary.BigEndian.AppendUint16(b, uint16(len(columns)))
		for i, c := range columns {
			b = appendField(b, c, row.At(i))
		}
	}
	return binary.BigEndian.AppendUint16(b, 0xFFFF) // the end
}

// appendField appends the length of a value and its binary form, as decodeValue
// reads it.
func appendField(b []byte, c store.Column, v store.Value) []byte {
	order := binary.BigEndian
	switch {
	case v.IsNull():
		return order.AppendUint32(b, 0xFFFFFFFF)
	case c.JSON && !c.Verbatim:
		b = order.AppendUint32(b, uint32(len(v.Text())+1))
		return append(append(b, 1), v.Text()...)
	case c.Kind == store.KindText || c.Kind == store.KindBytes:
		b = order.AppendUint32(b, uint32(len(v.Text())))
		return append(b, v.Text()...)
	case c.Kind == store.KindBool:
		return append(order.AppendUint32(b, 1), byte(v.Int()))
	}
	n := v.Int()
	if c.Kind == store.KindTime {
		n -= epoch
	}
	return order.AppendUint64(order.AppendUint32(b, 8), uint64(n))
}
