package main

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	bolt "go.etcd.io/bbolt"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// insertedRows are rows of one table that are inserted together.
type insertedRows struct {
	Table *store.Table
	Rows  []store.Row
}

// scanned are the tables that Scan reads: those with rows about every user that travels.
var scanned = []*store.Table{record.Users.Table, record.Targets.Table}

// mover inserts the rows of the engine's tables with a library alone, many at a time, and scans
// users and targets.
type mover struct {
	insert func(batch []insertedRows) error
	scan   func() (int, error)
	close  func() error
}

// boltMover makes a file with a bucket for each index.
func boltMover(path string) (*mover, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{FreelistType: bolt.FreelistMapType})
	if err != nil {
		return nil, err
	}
	bucket := func(ix *store.Index) []byte { return []byte(ix.Table().Name() + "." + ix.Name()) }
	err = db.Update(func(tx *bolt.Tx) error {
		for _, t := range record.Schema.Tables() {
			for _, ix := range t.Indexes() {
				if _, err := tx.CreateBucket(bucket(ix)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	insert := func(batch []insertedRows) error {
		return db.Update(func(tx *bolt.Tx) error {
			for _, part := range batch {
				for _, ix := range part.Table.Indexes() {
					b, cluster := tx.Bucket(bucket(ix)), part.Table.Cluster()
					for _, row := range part.Rows {
						value := boltKey(cluster, row)
						if ix == cluster {
							value = boltRow(row)
						}
						if err := b.Put(boltKey(ix, row), value); err != nil {
							return err
						}
					}
				}
			}
			return nil
		})
	}
	scan := func() (n int, err error) {
		err = db.View(func(tx *bolt.Tx) error {
			for _, t := range scanned {
				err := tx.Bucket(bucket(t.Cluster())).ForEach(func(_, v []byte) error {
					n++
					_, err := boltValues(v, len(t.Columns()))
					return err
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		return n, err
	}
	return &mover{insert, scan, db.Close}, err
}

// boltKey returns the columns of an index, and those of the primary key, as bytes in their order.
func boltKey(ix *store.Index, row store.Row) (key []byte) {
	for _, at := range ix.Order() {
		v := row.At(at)
		switch v.Kind() {
		case store.KindText, store.KindBytes:
			key = append(key, v.Bytes()...)
		default:
			key = binary.BigEndian.AppendUint64(key, uint64(v.Int()))
		}
		key = append(key, 0)
	}
	return key
}

// boltRow returns the columns of a row, each after its length.
func boltRow(row store.Row) (value []byte) {
	for _, v := range row.Values() {
		switch {
		case v.IsNull():
			value = append(value, 0)
		case v.Kind() == store.KindText, v.Kind() == store.KindBytes:
			value = binary.AppendUvarint(append(value, 1), uint64(len(v.Bytes())))
			value = append(value, v.Bytes()...)
		default:
			value = binary.AppendVarint(append(value, 2), v.Int())
		}
	}
	return value
}

// boltValues reads the columns of a row.
func boltValues(value []byte, columns int) ([]any, error) {
	out := make([]any, 0, columns)
	for range columns {
		kind := value[0]
		value = value[1:]
		switch kind {
		case 0:
			out = append(out, nil)
		case 1:
			size, n := binary.Uvarint(value)
			out = append(out, string(value[n:n+int(size)]))
			value = value[n+int(size):]
		default:
			number, n := binary.Varint(value)
			out = append(out, number)
			value = value[n:]
		}
	}
	if len(value) > 0 {
		return nil, fmt.Errorf("%d bytes are left of a row", len(value))
	}
	return out, nil
}

// sqliteRows is the number of rows of one INSERT.
const sqliteRows = 16

// sqliteMover opens a file whose tables a store has made.
func sqliteMover(path string) (*mover, error) {
	const settings = "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_pragma=secure_delete(1)" +
		"&_pragma=mmap_size(1073741824)&_pragma=cache_size(-16384)"
	db, err := sql.Open("sqlite", path+settings)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	stmts := make(map[string]*sql.Stmt)
	prepared := func(t *store.Table, rows int) (*sql.Stmt, error) {
		one := "(?" + strings.Repeat(", ?", len(t.Columns())-1) + ")"
		text := "INSERT INTO " + t.Name() + " (" + columnNames(t) + ") VALUES " + one + strings.Repeat(", "+one, rows-1)
		if stmts[text] == nil {
			stmt, err := conn.PrepareContext(ctx, text)
			if err != nil {
				return nil, err
			}
			stmts[text] = stmt
		}
		return stmts[text], nil
	}
	insert := func(batch []insertedRows) error {
		if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
			return err
		}
		for _, part := range batch {
			for at := 0; at < len(part.Rows); {
				size := sqliteRows
				if len(part.Rows)-at < size {
					size = 1
				}
				stmt, err := prepared(part.Table, size)
				if err != nil {
					return err
				}
				var args []any
				for _, row := range part.Rows[at : at+size] {
					args = append(args, plainValues(row, sqliteValue)...)
				}
				if _, err := stmt.ExecContext(ctx, args...); err != nil {
					return err
				}
				at += size
			}
		}
		_, err := conn.ExecContext(ctx, "COMMIT")
		return err
	}
	scan := func() (n int, err error) {
		for _, t := range scanned {
			rows, err := conn.QueryContext(ctx, "SELECT "+columnNames(t)+" FROM "+t.Name()+" ORDER BY id")
			if err != nil {
				return 0, err
			}
			values := make([]any, len(t.Columns()))
			into := make([]any, len(values))
			for i := range values {
				into[i] = &values[i]
			}
			for rows.Next() {
				n++
				if err := rows.Scan(into...); err != nil {
					return n, err
				}
			}
			if err := errors.Join(rows.Err(), rows.Close()); err != nil {
				return n, err
			}
		}
		return n, nil
	}
	return &mover{insert, scan, db.Close}, nil
}

// postgresMover opens the tables that a store has made in a namespace.
func postgresMover(address, namespace string) (*mover, error) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return nil, err
	}
	insert := func(batch []insertedRows) error {
		return pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.Serializable}, func(tx pgx.Tx) error {
			for _, part := range batch {
				names := strings.Split(columnNames(part.Table), ", ")
				from := pgx.CopyFromSlice(len(part.Rows), func(i int) ([]any, error) { return plainValues(part.Rows[i], postgresValue), nil })
				if _, err := tx.CopyFrom(ctx, pgx.Identifier{namespace, part.Table.Name()}, names, from); err != nil {
					return err
				}
			}
			return nil
		})
	}
	scan := func() (n int, err error) {
		for _, t := range scanned {
			rows, err := conn.Query(ctx, "SELECT "+columnNames(t)+" FROM "+namespace+"."+t.Name()+" ORDER BY id")
			if err != nil {
				return 0, err
			}
			for rows.Next() {
				n++
				if _, err := rows.Values(); err != nil {
					rows.Close()
					return n, err
				}
			}
			if err := rows.Err(); err != nil {
				return n, err
			}
		}
		return n, nil
	}
	return &mover{insert, scan, func() error { return conn.Close(ctx) }}, nil
}

// columnNames returns the names of the columns of a table, with commas.
func columnNames(t *store.Table) string {
	var names []string
	for _, c := range t.Columns() {
		names = append(names, c.Name)
	}
	return strings.Join(names, ", ")
}

// plainValues returns the columns of a row as arguments.
func plainValues(row store.Row, value func(store.Value) any) (args []any) {
	for _, v := range row.Values() {
		if v.IsNull() {
			args = append(args, nil)
		} else {
			args = append(args, value(v))
		}
	}
	return args
}

func sqliteValue(v store.Value) any {
	switch v.Kind() {
	case store.KindText:
		return v.Text()
	case store.KindBytes:
		return v.Bytes()
	}
	return v.Int()
}

func postgresValue(v store.Value) any {
	switch v.Kind() {
	case store.KindText:
		return v.Text()
	case store.KindBytes:
		return v.Bytes()
	case store.KindBool:
		return v.Bool()
	case store.KindTime:
		return v.Time().UTC().Truncate(time.Microsecond)
	}
	return v.Int()
}
