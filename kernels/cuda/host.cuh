// CUDA's words for an ordinary C++ compiler: what a kernel needs of the language to run on the processor.
//
// Blocks run one after the other.  A block's threads take turns: each runs until it has to wait for the others, at a
// __syncthreads() or in a shuffle, or to its end; then the next one does.  In whichever order they take turns, a
// correct kernel computes the same, so they can also be run backwards.  A thread that waits keeps its stack (it is a
// fiber); a thread that never waits runs to its end on the stack of the one before it, so a kernel without barriers
// costs no more than a loop.
//
// What a GPU would let pass, or hang on, is complained about: a __syncthreads() that only some threads reach, a shuffle
// that only some lanes take part in.  What a shuffle reads from a lane that does not exist is NaN, and so is shared
// memory at the start of each block (unless AddressSanitizer watches it).  Races are found by races.cuh, where that is
// wished.  There are no atomic operations: results must have the same bits every time.

#pragma once

#if defined(__ELF__)
#include <link.h>
#endif
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <utility>

#if !defined(__x86_64__) || defined(HOST_UCONTEXT)
#include <ucontext.h>
#endif

// -- words -----------------------------------------------------------------------------------------------------------

#define CUDA_ON_HOST 1
#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))

#if defined(__ELF__) && !defined(__SANITIZE_ADDRESS__)  // the sanitizer watches the bounds of ordinary variables only
#define HOST_SHARED_TOGETHER 1
#define __shared__ static __thread  // which lie side by side, unlike others (templates have no say in a section)
#else
#define __shared__ static
#endif

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

static dim3 threadIdx, blockIdx, blockDim, gridDim;
static const int warpSize = 32;

#define HOST_VECTOR(scalar, name, bytes)                                                                              \
    struct alignas(2 * bytes) name##2 { scalar x, y; };                                                               \
    struct name##3 { scalar x, y, z; };                                                                               \
    struct alignas(4 * bytes > 16 ? 16 : 4 * bytes) name##4 { scalar x, y, z, w; };                                   \
    static inline name##2 make_##name##2(scalar x, scalar y) { return {x, y}; }                                       \
    static inline name##3 make_##name##3(scalar x, scalar y, scalar z) { return {x, y, z}; }                          \
    static inline name##4 make_##name##4(scalar x, scalar y, scalar z, scalar w) { return {x, y, z, w}; }
HOST_VECTOR(float, float, 4)
HOST_VECTOR(double, double, 8)
HOST_VECTOR(int, int, 4)
HOST_VECTOR(unsigned, uint, 4)
HOST_VECTOR(unsigned char, uchar, 1)

// -- arithmetic ------------------------------------------------------------------------------------------------------

using std::ceil, std::exp, std::expm1, std::fabs, std::floor, std::fma, std::fmax, std::fmin, std::isfinite, std::isinf;
using std::isnan, std::log, std::log1p, std::pow, std::sqrt, std::tanh;

#define HOST_LEAST_AND_MOST(type)                                         \
    static inline type min(type a, type b) { return b < a ? b : a; }      \
    static inline type max(type a, type b) { return a < b ? b : a; }
HOST_LEAST_AND_MOST(int)
HOST_LEAST_AND_MOST(unsigned)
HOST_LEAST_AND_MOST(long)
HOST_LEAST_AND_MOST(unsigned long)
HOST_LEAST_AND_MOST(long long)
HOST_LEAST_AND_MOST(unsigned long long)
static inline float min(float a, float b) { return fminf(a, b); }  // as CUDA has it: the number, if the other is NaN
static inline float max(float a, float b) { return fmaxf(a, b); }
static inline double min(double a, double b) { return fmin(a, b); }
static inline double max(double a, double b) { return fmax(a, b); }

static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
static inline double rsqrt(double x) { return 1.0 / sqrt(x); }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return uint64_t(a) * b >> 32; }
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
    return static_cast<unsigned __int128>(a) * b >> 64;
}
static inline int __popc(unsigned a) { return __builtin_popcount(a); }
static inline int __ffs(int a) { return __builtin_ffs(a); }
static inline int __clz(int a) { return a ? __builtin_clz(a) : 32; }

namespace host {
template <class To, class From>
inline To same_bits(From value)
{
    static_assert(sizeof(To) == sizeof(From), "same size");
    To result;
    memcpy(&result, &value, sizeof result);
    return result;
}
}  // namespace host

static inline int __float_as_int(float x) { return host::same_bits<int>(x); }
static inline unsigned __float_as_uint(float x) { return host::same_bits<unsigned>(x); }
static inline float __int_as_float(int x) { return host::same_bits<float>(x); }
static inline float __uint_as_float(unsigned x) { return host::same_bits<float>(x); }
static inline double __longlong_as_double(long long x) { return host::same_bits<double>(x); }
static inline long long __double_as_longlong(double x) { return host::same_bits<long long>(x); }
template <class V>
inline V __ldg(const V* address) { return *address; }

// -- stacks to switch between ----------------------------------------------------------------------------------------

namespace host {

#if defined(__x86_64__) && !defined(HOST_UCONTEXT)

struct Context {
    void* stack_pointer;
};

// Save the registers that a function must preserve, and the stack; go on with another stack.
__attribute__((naked, noinline, no_sanitize("thread")))
static void exchange_stacks(void** /*rdi: saved to*/, void* /*rsi: loaded*/)
{
    asm volatile(
        "pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
        "movq %rsp, (%rdi)\n movq %rsi, %rsp\n"
        "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret\n");
}

inline void switch_stacks(Context& from, const Context& to)
{
    exchange_stacks(&from.stack_pointer, to.stack_pointer);
}

inline void prepare(Context& context, char* stack, size_t bytes, void (*entry)())
{
    void** top = reinterpret_cast<void**>(stack + bytes);
    *--top = nullptr;  // a return address, where the function expects one
    *--top = reinterpret_cast<void*>(entry);
    for (int saved = 0; saved < 6; saved++)
        *--top = nullptr;
    context.stack_pointer = top;
}

#else

struct Context {
    ucontext_t registers;
};

inline void switch_stacks(Context& from, const Context& to) { swapcontext(&from.registers, &to.registers); }

inline void prepare(Context& context, char* stack, size_t bytes, void (*entry)())
{
    getcontext(&context.registers);
    context.registers.uc_stack.ss_sp = stack;
    context.registers.uc_stack.ss_size = bytes;
    context.registers.uc_link = nullptr;
    makecontext(&context.registers, entry, 0);
}

#endif

#if defined(__SANITIZE_ADDRESS__)
extern "C" void __asan_unpoison_memory_region(void const volatile*, size_t);
const size_t STACK_BYTES = 1 << 18;
#else
const size_t STACK_BYTES = 1 << 16;
#endif
const size_t PAGE = 4096;  // below each stack, nobody may touch that much

// -- threads ---------------------------------------------------------------------------------------------------------

const int MOST_THREADS = 1024, WARP = 32, MOST_WARPS = MOST_THREADS / WARP;

enum State : unsigned char { NEW, READY, IN_BARRIER, IN_SHUFFLE, DONE };

struct Thread {
    Context context;
    dim3 index;
    State state;
    unsigned char round;  // 0 or 1: which of its warp's slots it used last
    int line;             // of the __syncthreads() where it waits
};

struct Warp {
    int alive, waiting;
    bool orders;                 // whether what its lanes wait in puts their memory in order
    unsigned step;               // how often that was done
    unsigned members[2];         // which lanes took part in the last two exchanges
    uint64_t slots[2][WARP];     // what they gave
};

static Thread threads[MOST_THREADS];
static Warp warps[MOST_WARPS];
static int count, alive, waiting, current;  // threads of the block; the one that runs
static unsigned stretch;                    // how often a block has begun or passed a __syncthreads(), in all
static int cursor;                          // its turn; turns are threads, or threads from the last to the first
static bool backwards;
static uint64_t block;  // its turn
static char* stacks;
static int free_stacks[MOST_THREADS + 1], free_count, stack_in_use;
static Context outside;  // where the launch was called
static char complaint[600];
static char* dynamic_shared;
static size_t dynamic_bytes;
static void (*kernel)();

// -- shared memory ---------------------------------------------------------------------------------------------------

struct Memory {
    char* begin;
    size_t bytes;
};

#if defined(HOST_SHARED_TOGETHER)
__shared__ char any_shared;

// Looks for the library, or the program, whose variables declared `__thread` are these.
inline int find_shared(dl_phdr_info* library, size_t, void* found)
{
    char* const begin = static_cast<char*>(library->dlpi_tls_data);
    for (int i = 0; begin && i < library->dlpi_phnum; i++) {
        const size_t bytes = library->dlpi_phdr[i].p_memsz;
        if (library->dlpi_phdr[i].p_type == PT_TLS && &any_shared >= begin && &any_shared < begin + bytes) {
            *static_cast<Memory*>(found) = {begin, bytes};
            return 1;
        }
    }
    return 0;
}

// All that is declared `__shared__`, for the calling (operating system's) thread.
inline Memory shared_memory()
{
    static size_t before, bytes;
    if (!bytes) {
        Memory found = {&any_shared, 1};
        dl_iterate_phdr(find_shared, &found);
        before = &any_shared - found.begin;
        bytes = found.bytes;
    }
    return {&any_shared - before, bytes};
}
#else
inline Memory shared_memory() { return {nullptr, 0}; }
#endif

// -- blocks ----------------------------------------------------------------------------------------------------------

inline int turn_of(int thread) { return backwards ? count - 1 - thread : thread; }

template <typename... Numbers>
[[noreturn]] inline void complain(const char* sentence, Numbers... numbers)
{
    snprintf(complaint, sizeof complaint, sentence, numbers...);
    Context lost;
    switch_stacks(lost, outside);
    abort();  // nobody comes back to a kernel that failed
}

inline void start_block()
{
    if (const Memory memory = shared_memory(); memory.bytes)
        memset(memory.begin, 0xff, memory.bytes);
    if (dynamic_bytes)
        memset(dynamic_shared, 0xff, dynamic_bytes);
    stretch++;
    alive = count;
    waiting = 0;
    cursor = -1;
    dim3 index(0, 0, 0);
    for (int t = 0; t < count; t++) {
        threads[t].state = NEW;
        threads[t].round = 0;
        threads[t].index = index;
        if (++index.x == blockDim.x) {
            index.x = 0;
            if (++index.y == blockDim.y) {
                index.y = 0;
                ++index.z;
            }
        }
    }
    for (int w = 0; w * WARP < count; w++) {
        warps[w].alive = count - w * WARP < WARP ? count - w * WARP : WARP;
        warps[w].waiting = 0;
    }
}

// Backwards, blocks take turns from the last to the first as well.
inline bool next_block()
{
    if (++block == uint64_t(gridDim.x) * gridDim.y * gridDim.z)
        return false;
    uint64_t place = backwards ? uint64_t(gridDim.x) * gridDim.y * gridDim.z - 1 - block : block;
    blockIdx = dim3(place % gridDim.x, place / gridDim.x % gridDim.y, place / gridDim.x / gridDim.y);
    return true;
}

// The next thread that can go on, or -1: then all are done, or all wait.
inline int pick()
{
    for (int step = 0; step < count; step++) {
        cursor = cursor + 1 < count ? cursor + 1 : 0;
        int thread = turn_of(cursor);
        if (threads[thread].state <= READY)
            return thread;
    }
    return -1;
}

[[noreturn]] inline void complain_of_waiting()
{
    const Thread *one = nullptr, *other = nullptr;
    for (int t = 0; t < count; t++) {
        if (threads[t].state == IN_SHUFFLE && !one)
            one = &threads[t];
        if (threads[t].state == IN_BARRIER && !other)
            other = &threads[t];
    }
    if (one && other)
        complain(
            "in block (%u, %u, %u), thread (%u, %u, %u) waits in a shuffle and thread (%u, %u, %u) in the "
            "__syncthreads() of line %d: all lanes of a warp must take part in its shuffles.",
            blockIdx.x, blockIdx.y, blockIdx.z, one->index.x, one->index.y, one->index.z, other->index.x,
            other->index.y, other->index.z, other->line);
    complain("in block (%u, %u, %u), all threads wait for each other.", blockIdx.x, blockIdx.y, blockIdx.z);
}

inline void release_block()
{
    stretch++;
    waiting = 0;
    for (int t = 0; t < count; t++)
        if (threads[t].state == IN_BARRIER)
            threads[t].state = READY;
}

// All living lanes have given a value: remember who they are, and let them go on.
inline void release_warp(int w, int round)
{
    Warp& warp = warps[w];
    warp.waiting = 0;
    warp.step += warp.orders;
    warp.members[round] = 0;
    for (int lane = 0; lane < WARP; lane++) {
        int t = w * WARP + lane;
        if (t < count && threads[t].state != DONE) {
            warp.members[round] |= 1u << lane;
            threads[t].state = READY;
        } else {
            warp.slots[round][lane] = ~uint64_t(0);
        }
    }
}

// CUDA leaves open what a barrier does when threads of the block have returned; so none may wait then.
[[noreturn]] inline void complain_of_return(const Thread& waits, const Thread& returned)
{
    complain(
        "in block (%u, %u, %u), thread (%u, %u, %u) waits in the __syncthreads() of line %d, but thread (%u, %u, %u) "
        "has returned: every thread of the block must reach it.",
        blockIdx.x, blockIdx.y, blockIdx.z, waits.index.x, waits.index.y, waits.index.z, waits.line, returned.index.x,
        returned.index.y, returned.index.z);
}

inline void finish(int t)
{
    for (int other = 0; waiting && other < count; other++)
        if (threads[other].state == IN_BARRIER)
            complain_of_return(threads[other], threads[t]);
    threads[t].state = DONE;
    alive--;
    Warp& warp = warps[t / WARP];
    warp.alive--;
    if (warp.waiting && warp.waiting == warp.alive)
        for (int lane = 0; lane < WARP; lane++)
            if (threads[t / WARP * WARP + lane].state == IN_SHUFFLE) {
                release_warp(t / WARP, threads[t / WARP * WARP + lane].round);
                break;
            }
}

// What a fiber does: start threads, one after the other, until one that waits can go on; then leave its stack to
// others.
[[noreturn]] static void run_fiber()
{
    Context lost;
    for (;;) {
        int t = pick();
        if (t < 0) {
            if (alive)
                complain_of_waiting();
            if (!next_block()) {
                switch_stacks(lost, outside);
                abort();
            }
            start_block();
            continue;
        }
        current = t;
        if (threads[t].state == READY) {
            free_stacks[free_count++] = stack_in_use;
            switch_stacks(lost, threads[t].context);
            abort();
        }
        threads[t].state = READY;
        threadIdx = threads[t].index;
        kernel();
        finish(current);
    }
}

inline void start_fiber(Context& from)
{
    stack_in_use = free_stacks[--free_count];
    char* stack = stacks + stack_in_use * STACK_BYTES;
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(stack + PAGE, STACK_BYTES - PAGE);
#endif
    Context fresh;
    prepare(fresh, stack + PAGE, STACK_BYTES - PAGE, run_fiber);
    switch_stacks(from, fresh);
}

// The running thread waits: let others run until it can go on.
__attribute__((noinline)) static void let_others_run()
{
    int me = current, my_stack = stack_in_use;
    int before = cursor, t = pick();
    if (t < 0)
        complain_of_waiting();
    if (threads[t].state == NEW) {
        cursor = before;  // the new fiber picks it
        start_fiber(threads[me].context);
    } else {
        current = t;
        switch_stacks(threads[me].context, threads[t].context);
    }
    current = me;
    stack_in_use = my_stack;
    threadIdx = threads[me].index;
}

__attribute__((noinline)) static void synchronize(int line)
{
    Thread& me = threads[current];
    me.line = line;
    for (int t = 0; alive < count && t < count; t++)
        if (threads[t].state == DONE)
            complain_of_return(me, threads[t]);
    if (waiting)
        for (int t = 0; t < count; t++)
            if (threads[t].state == IN_BARRIER) {
                if (threads[t].line != line)
                    complain(
                        "in block (%u, %u, %u), thread (%u, %u, %u) waits in the __syncthreads() of line %d and thread "
                        "(%u, %u, %u) in that of line %d: all threads of the block must reach the same one.",
                        blockIdx.x, blockIdx.y, blockIdx.z, threads[t].index.x, threads[t].index.y, threads[t].index.z,
                        threads[t].line, me.index.x, me.index.y, me.index.z, line);
                break;
            }
    if (++waiting == alive) {
        release_block();
        return;
    }
    me.state = IN_BARRIER;
    let_others_run();
}

// Give a value to the warp and wait until all lanes have; then `slots[round]` of the warp holds them.  Memory is put in
// order by __syncwarp() only.
inline int give(unsigned mask, uint64_t value, bool orders_memory = false)
{
    int w = current / WARP, lane = current % WARP;
    Thread& me = threads[current];
    Warp& warp = warps[w];
    me.round ^= 1;
    int round = me.round;
    for (int other = 0; other < WARP; other++) {
        int t = w * WARP + other;
        if (t < count && threads[t].state != DONE && !(mask >> other & 1))
            complain(
                "in block (%u, %u, %u), thread (%u, %u, %u) shuffles with mask %#x, but lane %d of its warp lives too: "
                "the host build has shuffles of whole warps only.",
                blockIdx.x, blockIdx.y, blockIdx.z, me.index.x, me.index.y, me.index.z, mask, other);
    }
    if (warp.waiting && warp.orders != orders_memory)
        complain(
            "in block (%u, %u, %u), warp %d, some lanes wait in a __syncwarp() and others in a shuffle or vote: all of "
            "them must reach the same.",
            blockIdx.x, blockIdx.y, blockIdx.z, w);
    warp.orders = orders_memory;
    warp.slots[round][lane] = value;
    if (++warp.waiting == warp.alive) {
        release_warp(w, round);
    } else {
        me.state = IN_SHUFFLE;
        let_others_run();
    }
    return round;
}

template <class V>
inline V shuffle(unsigned mask, V value, int source)
{
    static_assert(sizeof(V) <= 8 && std::is_trivially_copyable<V>::value, "a number");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    int round = give(mask, bits);
    bits = warps[current / WARP].slots[round][source];
    memcpy(&value, &bits, sizeof value);
    return value;
}

inline int lane() { return current % WARP; }

// -- launching -------------------------------------------------------------------------------------------------------

static const uint64_t* arguments;

template <class A>
inline A argument(int place)
{
    A value;
    memcpy(&value, arguments + place, sizeof value);
    return value;
}

template <class A>
struct Scalar {
    using type = A;
};
#define HOST_SCALAR(vector, scalar)  \
    template <>                      \
    struct Scalar<vector> {          \
        using type = scalar;         \
    };
HOST_SCALAR(float2, float)
HOST_SCALAR(float4, float)
HOST_SCALAR(double2, double)
HOST_SCALAR(int2, int)
HOST_SCALAR(int4, int)
HOST_SCALAR(uint2, unsigned)
HOST_SCALAR(uint4, unsigned)
HOST_SCALAR(uchar4, unsigned char)

// One parameter as Python reads it: r or w for an array that is read or written, v for a number; then NumPy's dtype.
template <class A>
inline int describe(char* text)
{
    using Element = std::remove_pointer_t<A>;
    using Number = typename Scalar<std::remove_cv_t<Element>>::type;
    char kind = !std::is_pointer<A>::value ? 'v' : std::is_const<Element>::value ? 'r' : 'w';
    if constexpr (std::is_same<Number, bool>::value)
        return sprintf(text, "%cb1 ", kind);
    else if constexpr (std::is_floating_point<Number>::value)
        return sprintf(text, "%cf%zu ", kind, sizeof(Number));
    else if constexpr (std::is_integral<Number>::value)
        return sprintf(text, "%c%c%zu ", kind, std::is_signed<Number>::value ? 'i' : 'u', sizeof(Number));
    else
        return sprintf(text, "%c? ", kind);
}

struct Kernel {
    const char* name;
    void (*call)();
    void (*describe)(char*);
    int parameters;
};

template <auto function>
struct Entry;

template <class... Parameters, void (*function)(Parameters...)>
struct Entry<function> {
    template <size_t... places>
    static void call_with(std::index_sequence<places...>)
    {
        static_assert(((sizeof(Parameters) <= 8) && ...), "the host build passes parameters of up to 8 bytes");
        function(argument<Parameters>(places)...);
    }
    static void call() { call_with(std::index_sequence_for<Parameters...>()); }
    static const int count = sizeof...(Parameters);
    static void signature(char* text) { ((text += describe<Parameters>(text)), ...), *text = 0; }
};

#if defined(__SANITIZE_THREAD__)
}  // namespace host
#include "races.cuh"
namespace host {
#endif

// Use the stacks that another library has made, or make them; null when there is too little memory.
inline char* use_stacks(char* given)
{
    if (!given) {
        int kind = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        void* memory = mmap(nullptr, MOST_THREADS * STACK_BYTES, PROT_READ | PROT_WRITE, kind, -1, 0);
        if (memory == MAP_FAILED)
            return nullptr;
        given = static_cast<char*>(memory);
        for (int i = 0; i < MOST_THREADS; i++)
            mprotect(given + i * STACK_BYTES, PAGE, PROT_NONE);
    }
    return stacks = given;
}

// `values` are the arguments, and behind them the bytes of each array that the kernel may write.
inline const char* launch(
    const Kernel& what, const unsigned* sizes, size_t shared_bytes, const uint64_t* values, int reversed)
{
    if (shared_bytes != dynamic_bytes) {  // exactly as large as asked for, so that the sanitizer sees its bounds
        free(dynamic_shared);
        dynamic_shared = nullptr;
        dynamic_bytes = 0;
        void* memory = nullptr;
        if (shared_bytes && posix_memalign(&memory, 64, shared_bytes))
            return "there is too little memory for the shared memory of a block.";
        dynamic_shared = static_cast<char*>(memory);
    }
    dynamic_bytes = shared_bytes;
    for (free_count = 0; free_count < MOST_THREADS; free_count++)
        free_stacks[free_count] = MOST_THREADS - 1 - free_count;
    gridDim = dim3(sizes[0], sizes[1], sizes[2]);
    blockDim = dim3(sizes[3], sizes[4], sizes[5]);
    count = blockDim.x * blockDim.y * blockDim.z;
    backwards = reversed;
    kernel = what.call;
    arguments = values;
    complaint[0] = 0;
#if defined(__SANITIZE_THREAD__)
    if (const char* why_not = watch_launch(what.parameters, values, values + what.parameters))
        return why_not;
#endif
    block = ~uint64_t(0);
    next_block();
    start_block();
    start_fiber(outside);
#if defined(__SANITIZE_THREAD__)
    watch_nothing();
#endif
    return complaint;
}

}  // namespace host

// -- waiting and exchanging ------------------------------------------------------------------------------------------

#define __syncthreads() host::synchronize(__LINE__)

static inline void __syncwarp(unsigned mask = ~0u) { host::give(mask, 0, true); }

template <class V>
inline V __shfl_sync(unsigned mask, V value, int source, int width = 32)
{
    return host::shuffle(mask, value, (host::lane() & -width) + (source & (width - 1)));
}

template <class V>
inline V __shfl_down_sync(unsigned mask, V value, unsigned delta, int width = 32)
{
    int lane = host::lane();
    return host::shuffle(mask, value, (lane & (width - 1)) + int(delta) < width ? lane + int(delta) : lane);
}

template <class V>
inline V __shfl_up_sync(unsigned mask, V value, unsigned delta, int width = 32)
{
    int lane = host::lane();
    return host::shuffle(mask, value, (lane & (width - 1)) >= int(delta) ? lane - int(delta) : lane);
}

template <class V>
inline V __shfl_xor_sync(unsigned mask, V value, int lanes, int width = 32)
{
    int lane = host::lane(), source = lane ^ lanes;
    return host::shuffle(mask, value, source < (lane & -width) + width ? source : lane);
}

static inline unsigned __ballot_sync(unsigned mask, int predicate)
{
    int warp = host::current / host::WARP, round = host::give(mask, predicate != 0);
    unsigned votes = 0;
    for (int lane = 0; lane < host::WARP; lane++)
        if (host::warps[warp].members[round] >> lane & 1)
            votes |= unsigned(host::warps[warp].slots[round][lane] & 1) << lane;
    return votes;
}

static inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }

static inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, !predicate) == 0; }
