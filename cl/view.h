/* view.h: views of tensors as kernels take them, after their buffer: the offset of the first element and the strides of
 * the last one, two or three dimensions, in elements. */
#define VIEW1(t) ulong t##_offset, ulong t##_column
#define VIEW2(t) ulong t##_offset, ulong t##_row, ulong t##_column
#define VIEW3(t) ulong t##_offset, ulong t##_plane, ulong t##_row, ulong t##_column

#define AT1(t, column) (t##_offset + (column) * t##_column)
#define AT2(t, row, column) (t##_offset + (row) * t##_row + (column) * t##_column)
#define AT3(t, plane, row, column) (t##_offset + (plane) * t##_plane + (row) * t##_row + (column) * t##_column)
