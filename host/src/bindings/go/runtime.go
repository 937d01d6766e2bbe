// Package runtime is what the generated bindings stand on: the memory that host and
// guest hand to each other, and the handles of the host's resources.
package runtime

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"unsafe"
)

// # Garbage
//
// The host writes what it hands over into memory that it gets from cabi_realloc,
// during which a component must not call anything. But Go's allocator may read the
// clock: the guest traps ("cannot leave component instance"). The adapter between
// WASI's versions can be told to stop the monotonic clock for so long, and is. It does
// not stop the other clock, which the collector reads when it is through, a defect:
// https://github.com/bytecodealliance/wasmtime/issues/14318. Until that is mended
// everywhere, the collector does not start by itself, but in Allocate, which the
// bindings call when a function of the host's is about to be called or one of the
// guest's has returned.

//go:wasmimport wasi_snapshot_preview1 adapter_monotonic_clock_set_paused
func pauseClock(paused bool)

// Collect when there is as much garbage as there was in use, but not below that.
const leastGarbage = 2 << 20

// How often, and after how many bytes from the host, to look how much there is.
const (
	lookAfterCalls = 64
	lookAfterBytes = 512 << 10
)

var (
	heap    = []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	limit   = uint64(leastGarbage)
	calls   int
	handed  uintptr
	results runtime.Pinner
	started bool
)

func init() {
	debug.SetGCPercent(-1)
	started = true
}

func collect() {
	calls++
	if calls < lookAfterCalls && handed < lookAfterBytes {
		return
	}
	calls, handed = 0, 0
	metrics.Read(heap)
	if heap[0].Value.Uint64() < limit {
		return
	}
	runtime.GC()
	metrics.Read(heap)
	used := heap[0].Value.Uint64()
	limit = used + max(used, leastGarbage)
}

// Allocate returns memory that stays where it is until pinner lets go of it.
func Allocate(pinner *runtime.Pinner, size, align uintptr) unsafe.Pointer {
	Unpin()
	collect()
	return pinned(pinner, size, align)
}

// Unpin lets go of what the host has handed over: by the next call it was read, and
// whoever kept it points to it.
func Unpin() {
	results.Unpin()
}

func pinned(pinner *runtime.Pinner, size, align uintptr) unsafe.Pointer {
	if size == 0 {
		return nil
	}
	var memory unsafe.Pointer
	switch align {
	case 1:
		memory = unsafe.Pointer(unsafe.SliceData(make([]uint8, size)))
	case 2:
		memory = unsafe.Pointer(unsafe.SliceData(make([]uint16, (size+1)/2)))
	case 4:
		memory = unsafe.Pointer(unsafe.SliceData(make([]uint32, (size+3)/4)))
	default:
		memory = unsafe.Pointer(unsafe.SliceData(make([]uint64, (size+7)/8)))
	}
	pinner.Pin(memory)
	return memory
}

// Before Go has started, the adapter asks for memory of its own, once.
var (
	early     [192 << 10]byte
	earlyUsed uintptr
)

//go:wasmexport cabi_realloc
func cabiRealloc(old unsafe.Pointer, oldSize, align, size uintptr) unsafe.Pointer {
	if old != nil {
		panic("the host never asks for more of what it has")
	}
	if started {
		handed += size
		pauseClock(true)
		memory := pinned(&results, size, align)
		pauseClock(false)
		return memory
	}
	base := uintptr(unsafe.Pointer(&early))
	at := (base+earlyUsed+align-1)&^(align-1) - base
	if at+size > uintptr(len(early)) {
		panic("too little memory to start in")
	}
	earlyUsed = at + size
	return unsafe.Pointer(&early[at])
}

// Handle stands for a resource of the host's. It is 0 once it was given away.
type Handle struct {
	value int32
}

// MakeHandle wraps a handle that the host has given.
func MakeHandle(value int32) *Handle {
	h := &Handle{}
	h.Set(value)
	return h
}

// Use returns the handle, which stays here.
func (h *Handle) Use() int32 {
	if h.value == 0 {
		panic("the resource was dropped already")
	}
	return h.value
}

// Take returns the handle, and keeps it no longer.
func (h *Handle) Take() int32 {
	value := h.Use()
	h.value = 0
	return value
}

// TakeOrNil is Take, or 0 if there is nothing to take.
func (h *Handle) TakeOrNil() int32 {
	value := h.value
	h.value = 0
	return value
}

// Set puts a handle where there is none.
func (h *Handle) Set(value int32) {
	if h.value != 0 || value == 0 {
		panic("a handle is set once, and to something")
	}
	h.value = value
}
