// The kernels of clear_hug._signal, and the instruction-set variants of them that are linked into this build.
//
// Each has a twin in NumPy, in the Python module that calls it, which gives the same bits: sums are taken in the order
// that is written down here, nothing is fused (but in quotient.h, which is exact) or reassociated (-ffp-contract=off),
// and lanes of a vector never meet.
#pragma once

#include <cstdint>

namespace clear_signal {

// A FIR filter from a rate to up / down of it: output j is the sum over k of taps[(j * down) % up][k] times sample
// (j * down) / up - reach + k.
struct Filter {
  const float *taps; // [up][2 * reach + 1]
  int64_t up, down, reach;
};

// How a row goes on beyond its ends; kGiven: its first and last `reach` samples are what goes beyond.
enum class Ends { kZero, kHold, kLine, kMirror, kGiven };

// The R peaks of a recording, increasing samples inside it, and the grid for their tokens.
struct Beats {
  const int64_t *place; // [count], which may be more than there are slots
  int64_t count, slots, samples;
};

// What is cut: tokens [leads][slots][samples] and which are valid [leads][slots]; of each slot, 1 + the second of its R
// peak and the peak's place, 0 and -1 where there is none.
struct Grid {
  float *tokens;
  bool *valid;
  int32_t *seconds, *place;
};

// The recordings of a store of signals, of which `count` are wanted, and the grid for their tokens.
struct Stored {
  const int16_t *samples;      // [..][leads], of one shard
  const int64_t *begin, *end;  // [all], of each one's samples, counted from `base` before the shard's first
  const float *gain;           // [all][leads], mV per step
  const int32_t *place;        // [all][slots], R peaks, -1 from the first empty slot on
  const bool *valid;           // [all][leads][slots]
  const int64_t *row, *target; // [count], which ones, and which row of the tokens is for each
  int64_t base, count, leads, slots, width;
};

// Short pieces of a recording and others to compare them with; see correlate.h.
struct Pieces {
  const float *mine, *theirs; // [count][leads][width], [others][leads][width]
  const int64_t *own;         // [others]
  const int64_t *ranks;       // [wanted]
  int64_t count, others, leads, width, size, wanted;
};

// Of each row: its smallest and largest sample, how many are one of these, the largest curvature, and the noise.
struct Facts {
  float *low, *high;
  int64_t *at_limits;
  float *curvature, *noise;
};

// How leads are weighed by their energy; see qrs_energy.py.
struct Weighing {
  int64_t high_rank, cell, cells, rr_cells, height_cells, height_every, noise_cells, power;
  float tiny, largest_contrast;
};

// All arrays are contiguous. leads, n: shape of the rows.
struct Kernels {
  const char *name;
  // n counts the samples between the ends.
  void (*filter)(const Filter &filter, Ends ends, const float *rows, int64_t leads, int64_t n, float *out);
  // Where the samples of each window begin, which may lie beyond the ends; the filter keeps the rate.
  void (*filter_around)(const Filter &filter, Ends ends, const float *rows, int64_t leads, int64_t n,
                        const int64_t *starts, int64_t windows, int64_t count, float *out);
  void (*decode)(const int16_t *counts, int64_t columns, const int64_t *picked, int64_t leads, int64_t n,
                 const double *baseline, const double *gain, const double *unit, bool single, void *out, int32_t *sums);
  bool (*range)(const float *rows, int64_t leads, int64_t n, float *low, float *high);
  bool (*lead_facts)(const float *rows, int64_t leads, int64_t n, int64_t reach, int64_t half, int64_t step,
                     const Facts &facts);
  void (*ranked)(const float *rows, int64_t leads, int64_t n, const int64_t *ranks, int64_t count, float *out);
  void (*running_median)(const float *rows, int64_t leads, int64_t n, int64_t size, int64_t every, float *out);
  void (*running_maximum)(const float *rows, int64_t leads, int64_t n, int64_t size, float *out);
  void (*cell_extremes)(const float *rows, int64_t leads, int64_t n, int64_t cell, int64_t cells, float *largest,
                        float *smallest);
  void (*weighed_sum)(const float *energy, int64_t leads, int64_t n, const float *height, const float *weight,
                      int64_t cell, int64_t cells, float largest, float *out);
  // Root of the squares of the slopes (the first filter), averaged by the second; neither changes the rate.
  void (*slope_energy)(const Filter &slope, const Filter &window, const float *rows, int64_t leads, int64_t n,
                       float *out);
  bool (*lead_weights)(const float *energy, int64_t leads, int64_t n, const Weighing &weighing, float *contrast,
                       float *height, float *weight);
  // limb: the places of I, II and III, or null, and with it `spans` and `sizes` are left alone.
  void (*compare_leads)(const Filter &qrs_filter, const float *rows, int64_t leads, int64_t n, const int64_t *limb,
                        int64_t left_out, double *products, float *spans, double *sizes);
  void (*strongest)(const float *windows, int64_t leads, int64_t count, int64_t size, const float *weight,
                    int64_t *place);
  void (*pieces)(const float *windows, int64_t leads, int64_t count, int64_t size, const int64_t *likely,
                 int64_t likely_count, const float *weight, float *out);
  void (*correlate)(const Pieces &pieces, float unknown, float *out);
  void (*cut)(const float *rows, int64_t leads, int64_t n, const Beats &beats, float flat, double fs, const Grid &grid);
  // Medians [leads][size] over windows of that size, which lie inside the rows.
  void (*window_medians)(const float *rows, int64_t leads, int64_t n, const int64_t *starts, int64_t windows,
                         int64_t size, float *out);
  void (*quantise)(const float *rows, int64_t leads, int64_t n, int16_t *out, float *gain);
  // Tokens [rows][leads][slots][width].
  void (*cut_stored)(const Stored &stored, float *tokens);
};

namespace generic {
const Kernels &kernels();
}
#if defined(CK_HAVE_X86_VARIANTS)
namespace avx2 {
const Kernels &kernels();
}
namespace avx512 {
const Kernels &kernels();
}
#endif

} // namespace clear_signal
