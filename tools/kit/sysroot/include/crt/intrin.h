/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The compiler's intrinsics that mingw-w64's kernel headers use in their inlines, and no more: its own intrin.h pulls
 * in every vector extension there is. (Signatures: "x64 intrinsics list", Microsoft C/C++ documentation.)
 */
#ifndef KIT_INTRIN_H
#define KIT_INTRIN_H

unsigned __int64 __readcr8(void);
void __writecr8(unsigned __int64 Data);
unsigned short __readgsword(unsigned long Offset);
unsigned __int64 __readgsqword(unsigned long Offset);
unsigned __int64 __umulh(unsigned __int64 a, unsigned __int64 b);
void _mm_pause(void);
void __debugbreak(void);

unsigned char __inbyte(unsigned short Port);
unsigned short __inword(unsigned short Port);
unsigned long __indword(unsigned short Port);
void __inbytestring(unsigned short Port, unsigned char *Buffer, unsigned long Count);
void __inwordstring(unsigned short Port, unsigned short *Buffer, unsigned long Count);
void __indwordstring(unsigned short Port, unsigned long *Buffer, unsigned long Count);
void __outbyte(unsigned short Port, unsigned char Data);
void __outword(unsigned short Port, unsigned short Data);
void __outdword(unsigned short Port, unsigned long Data);
void __outbytestring(unsigned short Port, unsigned char *Buffer, unsigned long Count);
void __outwordstring(unsigned short Port, unsigned short *Buffer, unsigned long Count);
void __outdwordstring(unsigned short Port, unsigned long *Buffer, unsigned long Count);

void __movsb(unsigned char *Destination, unsigned char const *Source, size_t Count);
void __movsw(unsigned short *Destination, unsigned short const *Source, size_t Count);
void __movsd(unsigned long *Destination, unsigned long const *Source, size_t Count);
void __stosb(unsigned char *Destination, unsigned char Data, size_t Count);
void __stosq(unsigned __int64 *Destination, unsigned __int64 Data, size_t Count);

#endif
