//go:build !linux

package pgtest

import "syscall"

func tied() *syscall.SysProcAttr { return new(syscall.SysProcAttr) }
