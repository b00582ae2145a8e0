package pgtest

import "syscall"

// tied ends a process together with the one that started it.
func tied() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT} }
