// Package types has those of WIT's types that Go lacks.
package types

// Unit is nothing: what a function returns that can fail and has no result.
type Unit struct{}

// Tuple2 is a pair, such as a header and its value.
type Tuple2[A, B any] struct {
	F0 A
	F1 B
}

// The tags of an Option.
const (
	OptionNone = uint8(iota)
	OptionSome
)

// Option is a value that may be absent. Its zero value is absent.
type Option[T any] struct {
	tag   uint8
	value T
}

// Some is a value that is there.
func Some[T any](value T) Option[T] {
	return Option[T]{tag: OptionSome, value: value}
}

// None is a value that is absent.
func None[T any]() Option[T] {
	return Option[T]{}
}

// Tag is OptionNone or OptionSome.
func (o Option[T]) Tag() uint8 { return o.tag }

// IsSome tells whether the value is there.
func (o Option[T]) IsSome() bool { return o.tag == OptionSome }

// IsNone tells whether the value is absent.
func (o Option[T]) IsNone() bool { return o.tag == OptionNone }

// Some returns the value, and panics if it is absent.
func (o Option[T]) Some() T {
	if o.tag != OptionSome {
		panic("there is no value")
	}
	return o.value
}

// SomeOr returns the value, or another one if it is absent.
func (o Option[T]) SomeOr(other T) T {
	if o.tag != OptionSome {
		return other
	}
	return o.value
}

// Get returns the value, and whether it is there.
func (o Option[T]) Get() (T, bool) { return o.value, o.tag == OptionSome }

// The tags of a Result.
const (
	ResultOk = uint8(iota)
	ResultErr
)

// Result is what came of something that can fail. Its zero value is a success.
type Result[T, E any] struct {
	tag uint8
	ok  T
	err E
}

// Ok is a success.
func Ok[T, E any](value T) Result[T, E] {
	return Result[T, E]{tag: ResultOk, ok: value}
}

// Err is a failure.
func Err[T, E any](err E) Result[T, E] {
	return Result[T, E]{tag: ResultErr, err: err}
}

// Of makes a result of what a function in Go returns.
func Of[T any](value T, err error) Result[T, string] {
	if err != nil {
		return Err[T](err.Error())
	}
	return Ok[T, string](value)
}

// OfError makes a result of the error that a function in Go returns.
func OfError(err error) Result[Unit, string] {
	return Of(Unit{}, err)
}

// Tag is ResultOk or ResultErr.
func (r Result[T, E]) Tag() uint8 { return r.tag }

// IsOk tells whether it is a success.
func (r Result[T, E]) IsOk() bool { return r.tag == ResultOk }

// IsErr tells whether it is a failure.
func (r Result[T, E]) IsErr() bool { return r.tag == ResultErr }

// Ok returns what a success came to, and panics if it is a failure.
func (r Result[T, E]) Ok() T {
	if r.tag != ResultOk {
		panic("it is a failure")
	}
	return r.ok
}

// Err returns what went wrong, and panics if nothing did.
func (r Result[T, E]) Err() E {
	if r.tag != ResultErr {
		panic("it is a success")
	}
	return r.err
}
