/* AVX2_CLONES before a function: a version of it for CPUs with AVX2 beside that for every CPU, chosen when the module is
   loaded; nothing where the compiler cannot.  Both give the same numbers. */
#ifndef AVX2_CLONES_H
#define AVX2_CLONES_H

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__has_attribute)
#if __has_attribute(target_clones)
#define AVX2_CLONES __attribute__((target_clones("avx2", "default")))
#endif
#endif
#ifndef AVX2_CLONES
#define AVX2_CLONES
#endif

#endif
