// Races between a kernel's threads, found by the host build (TINYCONV_SANITIZE=thread).
//
// Two threads race when both use a byte, at least one of them writes it, and nothing puts the two in order: what comes
// out depends on which one a GPU lets go first.  The threads of a block are in order when a __syncthreads() lies in
// between, the lanes of a warp also when a __syncwarp() does; blocks are never.  Shuffles and votes make lanes wait, but
// say nothing about their memory (CUDA C++ Programming Guide, "Warp Shuffle Functions").
//
// GCC's -fsanitize=thread puts a call before each access to memory.  Here these calls do not go to the sanitizer's
// library, which knows the threads of an operating system, but to the functions at the end of this file.  They keep, for
// each byte of shared memory and of the arrays that a kernel may write, who has used it.  `stretch` counts the pieces
// into which __syncthreads() cuts the run of a block, `Warp::step` those into which __syncwarp() cuts that of a warp.
//
// Of those who have read a byte in this stretch, three are enough: the last one, one beside it in its warp and step,
// and one of another warp.  For if two warps have read it, whoever writes it next is of another warp than one of them;
// and if one has, only its present step counts, and of two lanes one is not the writer.
//
// Not seen are memcpy() and memset() of a length that is not a constant, and structures passed or returned by value.
#pragma once

#if !defined(HOST_SHARED_TOGETHER)
#error "races can be found on Linux only"
#endif

#define HOST_UNWATCHED __attribute__((no_sanitize("thread")))

namespace host {

// All 0 at the start of a launch: stretches and turns of blocks count from 1.
struct Uses {
    unsigned stretch_written, stretch_read;  // when the threads below did
    unsigned step_written, step_read;        // the step of the warp of `writer`, of `reader`
    unsigned writing_block, reading_block;   // its turn, in the whole launch; MANY if there were several
    short writer, reader;
    short beside, elsewhere;                 // other readers, or NOBODY: a lane of the warp of `reader`, of another
};

const unsigned MANY = ~0u;
const short NOBODY = -1;

struct Word {
    bool apart;  // the four bytes have been used differently; else the first one stands for all
    Uses bytes[4];
};

struct Page {
    uintptr_t number;  // its address / PAGE
    unsigned launch;   // of which it tells
    Word words[PAGE / 4];
};

struct Range {
    uintptr_t begin, end;
    int parameter;  // from 1; 0 for shared memory
};

const int MOST_RANGES = 64;
static Range ranges[MOST_RANGES];  // that are watched
static int range_count;

const int MOST_PAGES = 1 << 13, PAGES_TO_KEEP = 64;  // each takes up to 130 KiB
static Page* pages[MOST_PAGES];  // by number; where the place is taken, at the next one
static int page_count;
static unsigned launches;

// `other` is a thread of this block, or NOBODY for one of another block.
[[noreturn]] HOST_UNWATCHED static void complain_of_race(
    const Range& range, uintptr_t address, bool writes, int other, bool other_writes)
{
    char where[40] = "shared memory", who[80] = "another block";
    if (range.parameter)
        snprintf(where, sizeof where, "parameter %d", range.parameter);
    if (other != NOBODY) {
        const dim3& them = threads[other].index;
        snprintf(who, sizeof who, "thread (%u, %u, %u)", them.x, them.y, them.z);
    }
    const dim3& me = threads[current].index;
    complain(
        "in block (%u, %u, %u), thread (%u, %u, %u) %s byte %zu of %s, which %s %s, and %s.", blockIdx.x, blockIdx.y,
        blockIdx.z, me.x, me.y, me.z, writes ? "writes" : "reads", static_cast<size_t>(address - range.begin), where,
        who, other_writes ? "wrote" : "read",
        other == NOBODY ? "blocks have no order" : "no __syncthreads() puts the two in order");
}

// Whether the running thread races with `other`, who did something in this stretch and in that step of its warp.
HOST_UNWATCHED inline bool races_with(int other, unsigned step)
{
    return other != NOBODY && other != current &&
        (other / WARP != current / WARP || step == warps[current / WARP].step);
}

HOST_UNWATCHED inline bool another_block(unsigned turn) { return turn && turn != unsigned(block + 1); }

HOST_UNWATCHED static void use(Uses& uses, bool writes, const Range& range, uintptr_t address)
{
    if (range.parameter) {
        if (another_block(uses.writing_block))
            complain_of_race(range, address, writes, NOBODY, true);
        if (writes && another_block(uses.reading_block))
            complain_of_race(range, address, writes, NOBODY, false);
        unsigned& turn = writes ? uses.writing_block : uses.reading_block;
        turn = another_block(turn) ? MANY : block + 1;
    }
    const unsigned step = warps[current / WARP].step;
    if (uses.stretch_written == stretch && races_with(uses.writer, uses.step_written))
        complain_of_race(range, address, writes, uses.writer, true);
    if (uses.stretch_read != stretch)
        uses.reader = uses.beside = uses.elsewhere = NOBODY;
    if (writes) {
        if (races_with(uses.reader, uses.step_read))
            complain_of_race(range, address, writes, uses.reader, false);
        if (races_with(uses.beside, uses.step_read))
            complain_of_race(range, address, writes, uses.beside, false);
        if (uses.elsewhere != NOBODY)  // of another warp than this thread, as it does not race with `reader`
            complain_of_race(range, address, writes, uses.elsewhere, false);
        uses.stretch_written = stretch;
        uses.step_written = step;
        uses.writer = current;
        return;
    }
    if (uses.reader != NOBODY && uses.reader / WARP != current / WARP) {
        uses.elsewhere = uses.reader;
        uses.beside = NOBODY;
    } else if (uses.step_read != step) {
        uses.beside = NOBODY;
    } else if (uses.reader != current) {
        uses.beside = uses.reader;
    }
    uses.stretch_read = stretch;
    uses.step_read = step;
    uses.reader = current;
}

static Page* last;  // the one used last

HOST_UNWATCHED static Page& page_of(uintptr_t number)
{
    Page* page = last;
    if (!page || page->number != number) {
        size_t place = number % MOST_PAGES;
        while (pages[place] && pages[place]->number != number)
            place = (place + 1) % MOST_PAGES;
        if (!pages[place]) {
            pages[place] = page_count < MOST_PAGES / 2 ? static_cast<Page*>(calloc(1, sizeof(Page))) : nullptr;
            if (!pages[place])
                complain("the kernel uses too much memory to be watched for races: give it smaller arrays.");
            pages[place]->number = number;
            pages[place]->launch = launches;
            page_count++;
        }
        last = page = pages[place];
    }
    if (page->launch != launches) {
        memset(page->words, 0, sizeof page->words);
        page->launch = launches;
    }
    return *page;
}

HOST_UNWATCHED static void access(const void* pointer, size_t bytes, bool writes)
{
    const uintptr_t begin = reinterpret_cast<uintptr_t>(pointer);
    const Range* range = ranges;
    while (range < ranges + range_count && (begin < range->begin || begin >= range->end))
        range++;
    if (range == ranges + range_count)
        return;  // what only one thread uses, or nobody writes; or it lies outside of all arrays
    for (uintptr_t address = begin; address < begin + bytes;) {
        Word& word = page_of(address / PAGE).words[address % PAGE / 4];
        if (address % 4 == 0 && address + 4 <= begin + bytes && !word.apart) {
            use(word.bytes[0], writes, *range, address);
            address += 4;
            continue;
        }
        if (!word.apart)
            word.bytes[1] = word.bytes[2] = word.bytes[3] = word.bytes[0];
        word.apart = true;
        use(word.bytes[address % 4], writes, *range, address);
        address++;
    }
}

HOST_UNWATCHED inline void watch(const void* begin, size_t bytes, int parameter)
{
    const uintptr_t address = reinterpret_cast<uintptr_t>(begin);
    if (bytes)
        ranges[range_count++] = {address, address + bytes, parameter};
}

// At the start of a launch: `bytes` has the size of each array that the kernel may write, and else 0.
HOST_UNWATCHED static const char* watch_launch(int parameters, const uint64_t* values, const uint64_t* bytes)
{
    if (parameters + 2 > MOST_RANGES)
        return "the kernel has too many parameters to be watched for races.";
    launches++;
    watch(shared_memory().begin, shared_memory().bytes, 0);
    watch(dynamic_shared, dynamic_bytes, 0);
    for (int place = 0; place < parameters; place++)
        watch(reinterpret_cast<const void*>(values[place]), bytes[place], place + 1);
    return nullptr;
}

// At its end: what has been watched may be anybody's memory from now on.
HOST_UNWATCHED static void watch_nothing()
{
    range_count = 0;
    if (page_count <= PAGES_TO_KEEP)
        return;
    for (Page*& page : pages) {
        free(page);
        page = nullptr;
    }
    last = nullptr;
    page_count = 0;
}

}  // namespace host

// -- what the compiler calls -----------------------------------------------------------------------------------------

#define HOST_ACCESS(name, bytes, writes) \
    extern "C" HOST_UNWATCHED void __tsan_##name(void* pointer) { host::access(pointer, bytes, writes); }
#define HOST_ACCESSES(bytes)                              \
    HOST_ACCESS(read##bytes, bytes, false)                \
    HOST_ACCESS(write##bytes, bytes, true)                \
    HOST_ACCESS(unaligned_read##bytes, bytes, false)      \
    HOST_ACCESS(unaligned_write##bytes, bytes, true)
HOST_ACCESSES(1)
HOST_ACCESSES(2)
HOST_ACCESSES(4)
HOST_ACCESSES(8)
HOST_ACCESSES(16)

extern "C" {
HOST_UNWATCHED void __tsan_read_range(void* pointer, size_t bytes) { host::access(pointer, bytes, false); }
HOST_UNWATCHED void __tsan_write_range(void* pointer, size_t bytes) { host::access(pointer, bytes, true); }
HOST_UNWATCHED void __tsan_init() {}
HOST_UNWATCHED void __tsan_func_entry(void*) {}
HOST_UNWATCHED void __tsan_func_exit() {}
}
