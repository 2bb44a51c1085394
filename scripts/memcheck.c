/*
 * Preloaded by `memcheck`: tells Valgrind what it can't see in ring's assembly.
 *
 * For short input `gcm_ghash_avx` makes zeros by copying a register that holds whatever its caller left there, and then
 * has the one xored with the other (`.Lshort_avx` in ring's ghash-x86_64-elf.S). Valgrind takes the exclusive or of two
 * undefined values for undefined; so the tag of every sealed document and TLS record would be, and all that is done with it.
 * Here input and output are looked at instead: where the input is defined, so is the output.
 */
#include <stddef.h>
#include <valgrind/memcheck.h>

/* `*gcm_ghash_avx` in any object: ring's names have its version in front. */
void I_WRAP_SONAME_FNNAME_ZZ(Za, ZagcmZughashZuavx)(void *xi, const void *table, const void *input, size_t size)
{
    OrigFn ghash;
    VALGRIND_GET_ORIG_FN(ghash);
    int undefined = VALGRIND_CHECK_MEM_IS_DEFINED(xi, 16) || VALGRIND_CHECK_MEM_IS_DEFINED(input, size);
    CALL_FN_v_WWWW(ghash, xi, table, input, size);
    if (!undefined)
        (void)VALGRIND_MAKE_MEM_DEFINED(xi, 16);
}
